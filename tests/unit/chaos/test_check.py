"""What is wrong with an experiment is told by file and line; those that come with kubelab are right."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaoslib.experiment import ensure_experiment_is_valid

from kubelab.chaos import check, shipped
from kubelab.chaos.check import BadExperiment

GOOD = """\
title: What if?
description: Nothing much.
controls:
- name: kubelab
  provider:
    type: python
    module: kubelab.chaos.controls
    arguments: {via: node-9}
steady-state-hypothesis:
  title: All is well
  probes:
  - name: answered
    type: probe
    tolerance: 100
    provider: {type: python, module: kubelab.chaos.probes, func: answered}
method:
- name: stop it
  type: action
  provider:
    type: python
    module: kubelab.chaos.actions
    func: stop
    arguments:
      process: etcd@cp-9
- name: cut it off
  type: action
  provider:
    type: python
    module: kubelab.chaos.actions
    func: partition
    arguments: {a: "${node}", b: "*"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "what-if.yaml"


def problems(file: Path, text: str) -> list[str]:
    file.write_text(text)
    with pytest.raises(BadExperiment) as caught:
        check.load(file)
    return str(caught.value).splitlines()


def test_processes_and_nodes_are_found_with_their_lines(file: Path) -> None:
    file.write_text(GOOD)
    named = check.load(file).named()
    assert [(n.kind, n.word, n.place) for n in named] == [
        ("process", "etcd@cp-9", f"{file}:24"),
        ("node", "node-9", f"{file}:8"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        pytest.param("title: What if?\n", "", 1, "title: required, a text", id="no title"),
        pytest.param("method:\n", "methods:\n", 1, "method: required, a list of actions and probes", id="no method"),
        pytest.param(
            "func: stop", "func: stopp", 22, 'unknown action "stopp"; did you mean "stop"?', id="no such action"
        ),
        pytest.param("answered}", "asked}", 15, 'unknown probe "asked"; ', id="no such probe"),
        pytest.param(
            "process: etcd", "proces: etcd", 24, 'stop has no argument "proces"; it has: process', id="argument"
        ),
        pytest.param(
            "    arguments:\n      process: etcd@cp-9\n", "", 19, 'stop needs the argument "process"', id="no argument"
        ),
        pytest.param(
            "chaos.actions\n    func: stop", "chaos.acts\n    func: stop", 21, "no module", id="no such module"
        ),
        pytest.param("tolerance: 100", "tolerance: 99.5", 14, "tolerance: a whole number", id="tolerance"),
        pytest.param("- name: stop it\n  type: action", "- name: stop it", 17, "type: required", id="no type"),
        pytest.param("title: What if?", "title: What: if?", 1, "mapping values are not allowed", id="no YAML"),
    ],
)
def test_mistakes_are_told_by_line(file: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    told = problems(file, GOOD.replace(old, new, 1))
    assert any(one.startswith(f"{file}:{line}") and message in one for one in told), told


@pytest.mark.parametrize("text", ["", "- a list", "just text"])
def test_what_is_no_experiment_at_all(file: Path, text: str) -> None:
    assert problems(file, text) == [f"{file}:1: an experiment is a mapping with title, description and method"]


def test_a_file_that_is_not_there(file: Path) -> None:
    with pytest.raises(BadExperiment, match="No such file"):
        check.load(file)


SHIPPED = sorted(shipped.folder("experiments").glob("*.yaml"))


def test_there_is_an_experiment_for_each_question() -> None:
    assert {path.stem for path in SHIPPED} >= {
        "api-server",
        "scheduler",
        "controller-manager",
        "kube-proxy",
        "kubelet",
        "runtime",
        "etcd",
        "etcd-majority",
        "dead-node",
        "round-robin",
        "frozen-leader",
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments_teach(path: Path) -> None:
    experiment = check.load(path)
    assert experiment.title.endswith("?")
    assert experiment.words["url"].startswith("https://kubernetes.io/docs/")
    assert len(experiment.words["prediction"].split()) > 20
    assert len(experiment.words["explanation"].split()) > 40
    ensure_experiment_is_valid(experiment.document)


@pytest.mark.parametrize("module", check.MODULES)
def test_every_action_and_probe_is_in_the_guide(module: str) -> None:
    guide = (Path(__file__).parents[3] / "docs/experiments.md").read_text()
    missing = [name for name in check.functions(module) if f"`{name}`" not in guide]
    assert missing == []
