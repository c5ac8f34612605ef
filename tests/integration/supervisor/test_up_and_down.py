"""``kubelab up`` and ``kubelab down`` as typed, with what they leave behind: nothing that was not asked for."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubelab.apimachinery.clock import SystemClock
from kubelab.client.kubeconfig import Kubeconfig
from kubelab.cluster import launch
from kubelab.supervisor import cleanup, processes
from kubelab.supervisor.processes import Running
from kubelab.topology.record import Record
from tests.support.traces import Traces, guardians

pytestmark = pytest.mark.root
SECONDS = 120
HELLO = Path(__file__).parents[3] / "examples" / "tutorial" / "00000"

Kubelab = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "home"
    yield made
    for cluster in (made / "clusters").glob("*"):
        record = Record.load(made, cluster.name)
        if record:
            cleanup.everything(record, SystemClock(), delete=True)


@pytest.fixture
def kubelab(home: Path) -> Kubelab:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kubelab.cli", *arguments],
            env={**os.environ, "KUBELAB_HOME": str(home), "KUBECONFIG": str(home / "kubeconfig")},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run


@pytest.fixture
def name() -> str:
    return f"kl-sup-{secrets.token_hex(3)}"


def record_of(home: Path, name: str) -> Record:
    record = Record.load(home, name)
    assert record is not None
    return record


def test_up_status_down_up_delete(kubelab: Kubelab, home: Path, name: str) -> None:
    up = kubelab("up", "--name", name, "--nodes", "2")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "kctl get nodes" in up.stdout
    assert Kubeconfig.load(home / "kubeconfig").current_context == name
    status = kubelab("status", "--name", name, "-o", "json")
    assert status.returncode == 0, status.stdout
    told = json.loads(status.stdout)
    assert {p["health"] for p in told["processes"]} == {"Healthy"}
    assert len([p for p in told["processes"] if p["node"]]) == 10

    assert "already running" in kubelab("up", "--name", name).stdout
    refused = kubelab("up", "--name", name, "--nodes", "3")
    assert refused.returncode == 1
    assert "has 2 nodes, not 3" in refused.stderr

    record = record_of(home, name)
    traces = Traces.of(record)
    assert kubelab("down", "--name", name).returncode == 0
    assert traces.left() == [str(record.folder)]
    stopped = kubelab("status", "--name", name)
    assert stopped.returncode != 0
    assert "is not running" in stopped.stderr

    refused_with_a_broken_record(kubelab, record, name)
    damage_all_that_is_made_anew(record)
    again = kubelab("up", "--name", name)
    assert again.returncode == 0, again.stdout + again.stderr
    traces = Traces.of(record)
    assert kubelab("down", "--name", name, "--delete").returncode == 0
    assert traces.left() == []
    assert not home.exists()


def refused_with_a_broken_record(kubelab: Kubelab, record: Record, name: str) -> None:
    file = record.folder / "cluster.yaml"
    kept = file.read_bytes()
    file.write_bytes(kept[:25])
    for command in ("up", "status", "down"):
        told = kubelab(command, "--name", name)
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr.startswith(f"error: {file}: ")
        assert len(told.stderr.splitlines()) == 1
    file.write_bytes(kept)


def damage_all_that_is_made_anew(record: Record) -> None:
    """Leave of no file of the cluster's own what it was, but of the record, etcd's data and the logs.

    Links are not followed: below ``runtime/NODE/host`` they lead to files of the machine.
    """
    contents = itertools.cycle([b"", b"\xff\xfe", b"[1", b"null", b'{"pod_cidr": 5}', b"- [a]"])
    damaged: set[str] = set()
    for path in sorted((*record.config.iterdir(), *record.pki.iterdir(), *record.folder.glob("runtime/*/*.json"))):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW), "wb") as file:
            file.write(next(contents))
        damaged.add(path.name)
    assert {"ca.key", "network.json", "cgroups.json", "runtime@cp-1.yaml"} <= damaged
    pods_range = record.folder / "runtime" / "cp-1" / "network.json"
    pods_range.unlink()
    pods_range.mkdir()


def kill_together(*victims: Running) -> None:
    """Neither of them gets to replace the other."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for victim in victims:
            assert victim.signal(number)


def test_up_adopts_what_runs_when_nobody_looks_after_it(kubelab: Kubelab, home: Path, name: str) -> None:
    assert kubelab("up", "--name", name, "--nodes", "1").returncode == 0
    record = record_of(home, name)
    before = processes.read_all(record.processes)
    kill_together(*guardians(record))
    assert "is not running" in kubelab("status", "--name", name).stderr
    assert kubelab("up", "--name", name).returncode == 0
    after = processes.read_all(record.processes)
    assert {n: r.pid for n, r in after.items() if "@" in n} == {n: r.pid for n, r in before.items() if "@" in n}


def test_down_cleans_up_when_everybody_was_killed(kubelab: Kubelab, home: Path, name: str) -> None:
    assert kubelab("up", "--name", name, "--nodes", "1").returncode == 0
    record = record_of(home, name)
    traces = Traces.of(record)
    kill_together(*guardians(record))
    assert kubelab("down", "--name", name, "--delete").returncode == 0
    assert traces.left() == []


def test_a_cluster_whose_folder_was_removed_ends_itself(kubelab: Kubelab, home: Path, name: str) -> None:
    """Etcd is without its data, and no command finds the cluster any more."""
    assert kubelab("up", "--name", name, "--nodes", "1").returncode == 0
    record = record_of(home, name)
    traces, supervisor = Traces.of(record), supervisor_of(record)
    assert kubelab("image", "build", "-t", "hello:1", str(HELLO), "--name", name).returncode == 0
    run_a_pod(home)
    shutil.rmtree(record.folder)
    asyncio.run(launch.wait_ended(supervisor.pid, SECONDS))
    assert traces.left() == []


def run_a_pod(home: Path) -> None:
    """Start a pod, and wait until it runs."""
    environment = {**os.environ, "KUBECONFIG": str(home / "kubeconfig")}
    for line in ("run web --image=hello:1", "wait --for=condition=Ready pod/web --timeout=60s"):
        command = [sys.executable, "-m", "kubelab.kctl", *line.split()]
        subprocess.run(command, env=environment, check=True, timeout=SECONDS, capture_output=True)


def supervisor_of(record: Record) -> Running:
    found = processes.read(record.processes, processes.SUPERVISOR)
    assert found
    return found


def test_up_leaves_a_cluster_alone_whose_supervisor_is_slow(kubelab: Kubelab, home: Path, name: str) -> None:
    assert kubelab("up", "--name", name, "--nodes", "1").returncode == 0
    record = record_of(home, name)
    before, text = processes.read_all(record.processes), (record.folder / "cluster.yaml").read_text()
    supervisor = supervisor_of(record)
    supervisor.signal(signal.SIGSTOP)
    refused = kubelab("up", "--name", name, "--timeout", "2")
    assert refused.returncode == 1
    assert f"supervisor (pid {supervisor.pid}) does not answer within 2 s" in refused.stderr
    assert (record.folder / "cluster.yaml").read_text() == text
    supervisor.signal(signal.SIGCONT)
    assert "already running" in kubelab("up", "--name", name).stdout
    assert processes.read_all(record.processes) == before


def test_down_takes_a_cluster_down_whose_supervisor_hangs(kubelab: Kubelab, home: Path, name: str) -> None:
    assert kubelab("up", "--name", name, "--nodes", "1").returncode == 0
    record = record_of(home, name)
    traces = Traces.of(record)
    supervisor_of(record).signal(signal.SIGSTOP)
    assert kubelab("down", "--name", name, "--delete").returncode == 0
    assert traces.left() == []


def test_a_setting_that_is_refused_is_not_kept(kubelab: Kubelab, home: Path, name: str) -> None:
    assert kubelab("up", "--name", name, "--nodes", "1", "--set", "kubelet.maxPods=20").returncode == 0
    assert kubelab("down", "--name", name).returncode == 0
    record = record_of(home, name)
    refused = kubelab("up", "--name", name, "--set", "kubelet.nonsense=1")
    assert refused.returncode == 1
    assert "unknown key 'nonsense'" in refused.stderr
    assert record_of(home, name) == record
    assert kubelab("up", "--name", name, "--set", "kubelet.maxPods=").returncode == 0
    assert record_of(home, name).settings == {}


def test_what_was_stopped_by_hand_is_named_at_once(kubelab: Kubelab, home: Path, name: str) -> None:
    assert kubelab("up", "--name", name, "--nodes", "1").returncode == 0
    assert kubelab("fault", "stop", "scheduler", "--name", name).returncode == 0
    told = kubelab("up", "--name", name)
    assert told.returncode == 1
    assert f"scheduler@cp-1 is Stopped; start it: kubelab fault start scheduler@cp-1 --name {name}" in told.stderr
    assert kubelab("fault", "start", "scheduler", "--name", name).returncode == 0


def test_down_goes_on_when_it_is_interrupted(kubelab: Kubelab, home: Path, name: str) -> None:
    assert kubelab("up", "--name", name, "--nodes", "1").returncode == 0
    record = record_of(home, name)
    down = subprocess.Popen(
        [sys.executable, "-m", "kubelab.cli", "down", "--name", name],
        env={**os.environ, "KUBELAB_HOME": str(home), "KUBECONFIG": str(home / "kubeconfig")},
    )
    scheduler = processes.read(record.processes, "scheduler@cp-1")
    assert scheduler
    asyncio.run(launch.wait_ended(scheduler.pid, SECONDS))
    down.send_signal(signal.SIGINT)
    down.wait(SECONDS)
    up = kubelab("up", "--name", name)
    assert up.returncode == 0, up.stdout + up.stderr
    assert "already running" not in up.stdout


def test_a_half_failed_up_says_why_and_leaves_nothing(kubelab: Kubelab, home: Path, name: str) -> None:
    """etcd is given a setting from the environment that it cannot use."""
    failed = subprocess.run(
        [sys.executable, "-m", "kubelab.cli", "up", "--name", name, "--nodes", "1"],
        env={
            **os.environ,
            "KUBELAB_HOME": str(home),
            "KUBECONFIG": str(home / "kubeconfig"),
            "ETCD_AUTH_TOKEN": "nonsense",
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert failed.returncode == 1
    assert "etcd@cp-1 keeps failing" in failed.stderr
    assert "The last lines of" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert Record.load(home, name) is None


def test_a_failed_up_leaves_the_context_that_was_chosen(home: Path, name: str) -> None:
    config = Kubeconfig(path=home / "kubeconfig")
    config.set_cluster("other", server="https://127.0.0.1:1", ca=b"a", certificate=b"b", key=b"c")
    config.write()
    failed = subprocess.run(
        [sys.executable, "-m", "kubelab.cli", "up", "--name", name, "--nodes", "1", "--timeout", "0.1"],
        env={**os.environ, "KUBELAB_HOME": str(home), "KUBECONFIG": str(home / "kubeconfig")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert failed.returncode == 1
    assert "Not up after 0.1 s" in failed.stderr
    assert Record.load(home, name) is None
    left = Kubeconfig.load(home / "kubeconfig")
    assert (left.current_context, [row.name for row in left.contexts()]) == ("other", ["other"])
