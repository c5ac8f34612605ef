"""Every experiment that comes with kubelab runs, and comes out as it predicts; whatever ends a run, nothing stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.terminal import ROOT, Answer, Terminal, eventually, take_down

pytestmark = pytest.mark.root

# Longer than the experiments that want a silent node to be believed, shorter than the default of 50 s.
GRACE_SECONDS = 12
PATIENCE = (
    f"--set controller-manager.nodeLifecycle.nodeMonitorGracePeriod={GRACE_SECONDS}s "
    "--set kubelet.nodeLeaseRenewInterval=1s"
)
LEASES = ("leaseDuration=5s", "renewDeadline=3s", "retryPeriod=500ms")
QUICK = "--var seconds:int=3"


@dataclass(frozen=True)
class Journal:
    """What a run left behind."""

    answer: Answer
    body: dict[str, Any]

    @property
    def recording(self) -> dict[str, Any]:
        return next(e["recording"] for e in self.body["extensions"] if e["name"] == "kubelab")

    def found(self, func: str) -> list[Any]:
        """Answers of that probe in the method, in their order."""
        return [run["output"] for run in self.body["run"] if run["activity"]["provider"]["func"] == func]

    def states(self, table: str, name: str) -> list[str]:
        return [row[-1] for row in self.recording[table] if row[1] == name]


@dataclass(frozen=True)
class Laboratory:
    """A cluster, and experiments on it."""

    terminal: Terminal

    def run(self, name: str, options: str = QUICK, *, code: int | None = 0, deadline: float = 120.0) -> Journal:
        path = self.terminal.folder / f"{Path(name).stem}.json"
        path.unlink(missing_ok=True)
        answer = self.terminal.type(
            f"kubelab chaos run {name} {options} --journal-path {path}", code=code, deadline=deadline
        )
        return Journal(answer, json.loads(path.read_text()) if path.exists() else {})

    def start(self, name: str, *, until: str) -> subprocess.Popen[str]:
        """Begin an experiment, and give it when it has come so far."""
        process = self.terminal.start(f"kubelab chaos run {name} --journal-path interrupted.json")
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if until in line:
                return process
        raise AssertionError(f"it ended before {until!r}:\n{seen}")

    def assert_as_before(self) -> None:
        """Every process runs, no namespace of an experiment is there, and nothing is owed."""
        self.terminal.type("kubelab status")
        assert "experiment-" not in self.terminal.type("kctl get namespaces").stdout
        assert not (self.terminal.home / "clusters" / self.terminal.cluster / "experiment.json").exists()


def laboratory(home: Path, folder: Path, name: str, options: str) -> Iterator[Laboratory]:
    terminal = Terminal(home, f"{name}-{os.getpid()}", folder)
    try:
        terminal.type(f"kubelab up --name {terminal.cluster} {options}", deadline=180)
        yield Laboratory(terminal)
    finally:
        take_down(terminal)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """One control plane, two workers."""
    yield from laboratory(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("lab"), "tchaos", PATIENCE)


@pytest.fixture(scope="module")
def ha(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """Three control planes."""
    leases = " ".join(f"--set controller-manager.leaderElection.{setting}" for setting in LEASES)
    options = f"--control-planes 3 --nodes 3 {leases}"
    yield from laboratory(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("ha"), "tchaosha", options)


def assert_well(journal: Journal, lab: Laboratory) -> None:
    assert journal.body["status"] == "completed", str(journal.answer)
    assert journal.body["deviated"] is False
    assert all(journal.body["steady_states"][when]["steady_state_met"] for when in ("before", "after"))
    assert "Verdict:     as predicted" in journal.answer.stdout
    assert journal.recording["recovery"] is not None
    assert all(fault["to"] is not None for fault in journal.recording["faults"])
    lab.assert_as_before()


def test_the_api_server(lab: Laboratory) -> None:
    journal = lab.run("api-server")
    assert_well(journal, lab)
    assert journal.found("answered") == [100]
    assert journal.found("written") == [0]
    assert journal.states("processes", "api-server@cp-1")[:2] == ["Running", "Stopped"]
    lost = journal.body["steady_states"]["after"]["probes"][-1]
    assert (lost["activity"]["provider"]["func"], lost["output"]) == ("lost_writes", 0)


def test_the_scheduler(lab: Laboratory) -> None:
    journal = lab.run("scheduler")
    assert_well(journal, lab)
    assert journal.found("pod_state") == ["Pending"]
    assert journal.found("pod_becomes") == [True]
    states = journal.states("pods", "newcomer")
    assert (states[0], "Ready" in states) == ("Pending", True)


def test_the_controller_manager(lab: Laboratory) -> None:
    journal = lab.run("controller-manager")
    assert_well(journal, lab)
    before, without = journal.found("answered")
    assert before == 100
    assert 50 <= without <= 80, "one of three turns goes to a pod that is gone"
    assert journal.found("ready_pods") == [2]


def test_kube_proxy(lab: Laboratory) -> None:
    journal = lab.run("kube-proxy")
    assert_well(journal, lab)
    assert journal.found("in_turn") == [100]
    assert journal.found("rules_match") == [False]
    assert journal.found("answered")[0] == 100


def test_a_kubelet(lab: Laboratory) -> None:
    journal = lab.run("kubelet")
    assert_well(journal, lab)
    assert journal.found("ready_pods") == [3], "nobody tells that the container is gone"
    assert 50 <= journal.found("answered")[1] <= 80


def test_the_runtime(lab: Laboratory) -> None:
    journal = lab.run("runtime", "--var seconds:int=8")  # a node stays Ready while its runtime is only restarted
    assert_well(journal, lab)
    assert journal.found("restarts") == [0]
    assert journal.states("nodes", "node-1") == ["Ready", "NotReady", "Ready"]


def test_etcd(lab: Laboratory) -> None:
    journal = lab.run("etcd")
    assert_well(journal, lab)
    assert (journal.found("answered"), journal.found("written")) == ([100], [0])


def test_round_robin(lab: Laboratory) -> None:
    journal = lab.run("round-robin", "")
    assert_well(journal, lab)
    assert journal.found("in_turn") == [100]
    assert journal.found("answerers") == [3, 3]


def test_a_dead_node(lab: Laboratory) -> None:
    journal = lab.run("dead-node", "--var toleration:int=3")
    assert_well(journal, lab)
    assert journal.found("toleration_seconds") == ["3 s"]
    assert journal.found("grace_period_seconds") == [GRACE_SECONDS]
    (unknown,), (left,) = journal.found("seconds_until_unknown"), journal.found("seconds_until_left")
    assert GRACE_SECONDS - 3 <= unknown < left
    assert left - unknown >= 2, "the toleration"
    assert journal.states("nodes", "node-2") == ["Ready", "Unknown", "Ready"]


def test_etcd_without_majority(ha: Laboratory) -> None:
    journal = ha.run("etcd-majority")
    assert_well(journal, ha)
    two_of_three, one_of_three = journal.found("written")
    assert two_of_three >= 95
    assert one_of_three == 0


def test_a_frozen_leader(ha: Laboratory) -> None:
    journal = ha.run("frozen-leader")
    assert_well(journal, ha)
    assert journal.found("pods_created") == [6]
    assert journal.found("leader_moved") == [True, True]


def test_a_list_and_a_page(lab: Laboratory) -> None:
    """Of the journal that the scheduler's experiment left."""
    listed = lab.terminal.type("kubelab chaos ls")
    names = {path.stem for path in (ROOT / "experiments").glob("*.yaml")}
    assert names <= {row[0] for row in listed.rows[1:]}
    assert all(line.endswith("?") for line in listed.lines[1:])
    lab.terminal.type("kubelab chaos report scheduler.json -o page.html")
    page = (lab.terminal.folder / "page.html").read_text()
    assert "What still works when the scheduler is dead?" in page
    assert "newcomer" in page


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interrupted_experiment_is_undone(lab: Laboratory, number: signal.Signals) -> None:
    process = lab.start("api-server", until="Pausing after activity")
    process.send_signal(number)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 1, told
    assert "Verdict:     interrupted; everything is undone" in told
    assert "Undone: start api-server@cp-1" in told
    assert "Traceback" not in told
    lab.assert_as_before()
    journal = json.loads((lab.terminal.folder / "interrupted.json").read_text())
    assert journal["status"] == "interrupted"


@pytest.mark.parametrize("heal", ["kubelab fault heal", "kubelab chaos run fails.yaml"])
def test_what_a_killed_experiment_left_is_undone_by_the_next(lab: Laboratory, heal: str) -> None:
    (lab.terminal.folder / "fails.yaml").write_text(TWICE)
    process = lab.start("api-server", until="Pausing after activity")
    busy = lab.terminal.type("kubelab chaos run scheduler", code=1)
    assert "another experiment is under way in this cluster" in busy.stdout + busy.stderr
    process.kill()
    process.communicate(timeout=60)
    assert "Stopped" in lab.terminal.type("kubelab status", code=1).stdout
    healed = lab.terminal.type(heal, code=None)
    assert "start api-server@cp-1" in healed.stdout + healed.stderr
    eventually(lambda: lab.terminal.type("kubelab status", code=None).code == 0)
    lab.assert_as_before()


TWICE = """\
title: What if?
description: It does not matter.
method:
- &pause
  name: pause it
  type: action
  provider:
    type: python
    module: kubelab.chaos.actions
    func: pause
    arguments: {process: scheduler@cp-1}
- {<<: *pause, name: and again}
- {<<: *pause, name: never done}
"""
ACTION = """\
title: What if?
description: It does not matter.
method:
- name: do it
  type: action
  provider:
    type: python
    module: kubelab.chaos.actions
    func: {func}
    arguments: {arguments}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            ACTION.format(func="stop", arguments="{process: etcd@cp-7}"),
            'bad.yaml:10: no process or node "etcd@cp-7" in this cluster. Did you mean "etcd@cp-1"?',
            id="a component that is not there",
        ),
        pytest.param(
            ACTION.format(func="explode", arguments="{process: etcd@cp-1}"),
            'bad.yaml:9: unknown action "explode"; there are: ',
            id="an unknown action",
        ),
        pytest.param(
            ACTION.format(func="partition", arguments="{a: node-1}"),
            'bad.yaml:10: partition needs the argument "b"',
            id="an argument that is missing",
        ),
        pytest.param("title: What: if?\n", "bad.yaml:1:12: mapping values are not allowed here", id="no YAML"),
        pytest.param("title: What if?\n", "bad.yaml:1: description: required, a text", id="no experiment"),
    ],
)
def test_a_bad_experiment_is_told_by_line_and_does_nothing(lab: Laboratory, text: str, message: str) -> None:
    (lab.terminal.folder / "bad.yaml").write_text(text)
    answer = lab.terminal.type("kubelab chaos run bad.yaml", code=1)
    assert message in answer.stderr
    assert "Running experiment" not in answer.stderr


def test_an_action_that_fails_ends_the_experiment(lab: Laboratory) -> None:
    (lab.terminal.folder / "fails.yaml").write_text(TWICE)
    journal = lab.run("fails.yaml", "", code=1)
    assert "and again: scheduler@cp-1 is Paused already: nothing to pause" in journal.answer.stderr
    assert "never done" not in [run["activity"]["name"] for run in journal.body["run"]]
    lab.assert_as_before()


def test_other_things_that_are_not_there(lab: Laboratory) -> None:
    terminal = lab.terminal
    assert "no such file, and no experiment of that name" in terminal.type("kubelab chaos run nothing", code=1).stderr
    gone = terminal.type("kubelab chaos run scheduler --name gone", code=1)
    assert 'cluster "gone" not found; start it with: kubelab up --name gone' in gone.stderr
    small = terminal.type("kubelab chaos run frozen-leader", code=1)
    assert "needs 3 control planes" in small.stderr
    assert "kubelab up --name ha --control-planes 3" in small.stderr
    assert "No such file" in terminal.type("kubelab chaos report nothing.json", code=1).stderr
