"""What is wrong with an experiment is told by file and line; those that come with kubelab are right."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from chaoslib.configuration import load_configuration
from chaoslib.experiment import ensure_experiment_is_valid
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.chaos import bundled, check, runner
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
WORDS = ("name", "type", "provider", "module", "func", "arguments", "tolerance", "ref", "probes", "process", "via")
CONTROL = GOOD[GOOD.index("controls:") : GOOD.index("steady")]


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
        pytest.param(
            CONTROL, "controls: [kubelab]\n", 3, 'is a mapping, and this is "kubelab"', id="a word as control"
        ),
        pytest.param(CONTROL, "controls:\n-\n", 4, "and this is nothing", id="an empty control"),
        pytest.param(CONTROL, "extensions: [x]\n", 3, 'is a mapping, and this is "x"', id="a word as extension"),
        pytest.param(CONTROL, "configuration: 5\n", 3, "configuration: expected a mapping", id="configuration"),
        pytest.param("method:\n", "method: [kill]\nrollbacks:\n", 16, 'and this is "kill"', id="a word as action"),
        pytest.param("method:\n", "method: kill\nrollbacks:\n", 16, "method: expected a list", id="no list"),
        pytest.param("  probes:\n  -", "  probes:\n  - 7\n  -", 12, 'and this is "7"', id="a number as probe"),
        pytest.param("steady-state-hypothesis:\n", "steady-state-hypothesis: 1\nx:\n", 9, "a mapping", id="hypothesis"),
        pytest.param(
            "provider: {type: python, module: kubelab.chaos.probes, func: answered}",
            "provider:",
            15,
            "required",
            id="an empty provider",
        ),
        pytest.param("{via: node-9}", "[4]", 8, "arguments: expected a mapping", id="a list as arguments"),
        pytest.param("{via: node-9}", "", 8, "arguments: expected a mapping", id="no arguments after all"),
        pytest.param(
            "arguments:\n      process: etcd@cp-9",
            "arguments: scheduler",
            23,
            "arguments: expected a mapping",
            id="a word as arguments",
        ),
        pytest.param(
            "- name: cut it off\n", "- name: cut it off\n  pauses: 5\n", 26, "pauses: expected a mapping", id="pauses"
        ),
        pytest.param(
            "{via: node-9}",
            "{replica: 4}",
            8,
            'control kubelab has no argument "replica"; it has: replicas, requests_per_second',
            id="an argument that the control does not have",
        ),
        pytest.param("{via: node-9}", "{cluster: lab}", 8, 'no argument "cluster"', id="what the command line says"),
        pytest.param(
            "{via: node-9}",
            "{control_planes: three}",
            8,
            'control_planes: expected a whole number, not "three"',
            id="a word as number",
        ),
        pytest.param("{via: node-9}", "{replicas: -1}", 8, 'expected a whole number, not "-1"', id="less than none"),
        pytest.param("{via: node-9}", "{replicas: true}", 8, 'a whole number, not "True"', id="yes as number"),
        pytest.param("{via: node-9}", "{writes_per_second: fast}", 8, 'a number, not "fast"', id="rate"),
        pytest.param("{via: node-9}", "{via: 9}", 8, 'via: expected a text, not "9"', id="a number as name"),
        pytest.param("{via: node-9}", "{address: here}", 8, "expected node-port or cluster-ip", id="address"),
    ],
)
def test_mistakes_are_told_by_line(file: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    told = problems(file, GOOD.replace(old, new, 1))
    assert any(one.startswith(f"{file}:{line}") and message in one for one in told), told


@pytest.mark.parametrize("arguments", ["scheduler", "[scheduler]"])
def test_one_mistake_is_one_line(file: Path, arguments: str) -> None:
    assert len(problems(file, GOOD.replace("{via: node-9}", arguments))) == 1


@pytest.mark.parametrize(
    ("value", "told"),
    [(3, []), ("three", [':8: nodes: expected a whole number, not "three"'])],
    ids=["a number", "a word"],
)
def test_what_a_variable_stands_for_is_looked_at_when_it_is_known(file: Path, value: object, told: list[str]) -> None:
    file.write_text(GOOD.replace("{via: node-9}", '{nodes: "${n}", toleration_seconds: null, writes_per_second: 1}'))
    experiment = check.load(file)
    assert check.validate_control(experiment, {"n": value}) == [f"{file}{line}" for line in told]


@pytest.mark.parametrize("text", ["", "- a list", "just text"])
def test_what_is_no_experiment_at_all(file: Path, text: str) -> None:
    assert problems(file, text) == [f"{file}:1: an experiment is a mapping with title, description and method"]


def test_a_file_that_is_not_there(file: Path) -> None:
    with pytest.raises(BadExperiment, match="No such file"):
        check.load(file)


BUNDLED = sorted(bundled.folder("experiments").glob("*.yaml"))


def test_there_is_an_experiment_for_each_question() -> None:
    assert {path.stem for path in BUNDLED} >= {
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


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
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


PROCESS = """\
title: t
description: d
method:
- {type: action, name: a, provider: {type: process, path: echo, arguments: ARGUMENTS}}
"""


@pytest.mark.filterwarnings("ignore:Process arguments should now be a list")
@pytest.mark.parametrize("arguments", ['["hi"]', "hi", '"process: x"', "{process: nowhere}", '"${what}"'])
def test_a_process_may_have_its_arguments_in_any_form(file: Path, arguments: str) -> None:
    """chaostoolkit#168: a text, a list, and (no longer wanted) a mapping; none of them names processes of a cluster."""
    file.write_text(PROCESS.replace("ARGUMENTS", arguments))
    experiment = check.load(file)
    ensure_experiment_is_valid(experiment.document)
    assert experiment.named() == []


def test_a_reference_may_stand_beside_anything(file: Path) -> None:
    file.write_text("title: t\ndescription: d\nmethod:\n- {ref: a, provider: true}\n")
    assert check.load(file).named() == []


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(0, 9) | st.sampled_from(["", "a", "${v}", "python"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_in_a_file_is_taken_or_refused_by_file_and_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A good experiment in which any part is replaced by anything."""
    document: Any = yaml.safe_load(GOOD + "rollbacks: []\nextensions: [{name: kubelab}]\nconfiguration: {v: 1}\n")
    for _ in range(data.draw(st.integers(1, 3))):
        part: Any = document
        while isinstance(part, dict | list) and part:
            keys: list[Any] = list(part) if isinstance(part, dict) else list(range(len(part)))
            key = data.draw(st.sampled_from(keys))
            if data.draw(st.integers(0, 2)) == 0 or not isinstance(part[key], dict | list) or not part[key]:
                part[key] = data.draw(VALUES)
                break
            part = part[key]
    path = tmp_path_factory.getbasetemp() / f"any-{threading.get_ident()}.yaml"
    path.write_text(yaml.safe_dump(document))
    problems: list[str] = []
    named: list[check.Named] = []
    experiment: check.Experiment | None = None
    try:
        experiment = check.load(path)
        named = experiment.named()
    except BadExperiment as err:
        problems = str(err).splitlines()
    assert all(line.startswith(f"{path}:") for line in problems)
    if experiment is None:
        return
    assert all(isinstance(found.word, str) for found in named)
    runner.with_control(experiment.document)
    with contextlib.suppress(*runner.UNREADABLE):
        ensure_experiment_is_valid(experiment.document)
        check.validate_control(experiment, load_configuration(experiment.document.get("configuration") or {}, {}))
