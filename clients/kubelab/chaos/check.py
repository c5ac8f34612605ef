"""Read an experiment and report its errors, with file and line, before it begins.

Chaos Toolkit validates as well, but without lines, and without knowledge of kubelab's components. This module finds all
errors that do not depend on a cluster; :meth:`Experiment.named` gives the names that the cluster must have.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from chaoslib import substitute

from kubelab.chaos import schema, spec

MODULES = ("kubelab.chaos.actions", "kubelab.chaos.probes")
CONTROL = "kubelab.chaos.controls"
EXTENSION = "kubelab"
PROCESSES = ("process", "a", "b")  # arguments that name processes or nodes
NODES = ("node", "via")
EVERYWHERE = "*"


class BadExperiment(Exception):
    """An experiment that cannot be run; one line for each problem, with file and line."""


@dataclass(frozen=True, slots=True)
class Named:
    """A process or node that an experiment names, and where. ``kind`` is ``process`` or ``node``."""

    kind: str
    word: str
    place: str  # file:line


@dataclass(frozen=True, slots=True)
class Experiment:
    """A checked experiment. ``document`` is Chaos Toolkit's own form."""

    path: Path
    document: dict[str, Any]
    lines: dict[tuple[Any, ...], int]  # where each part begins

    @property
    def title(self) -> str:
        return str(self.document["title"])

    @property
    def words(self) -> dict[str, Any]:
        """The texts for people: prediction, explanation, url. Empty where the experiment has none."""
        return words_of(self.document)

    def place(self, *path: Any) -> str:
        """``experiments/etcd.yaml:12``: where a part begins, or what it is in."""
        return f"{self.path}:{_line(self.lines, path)}"

    def named(self) -> list[Named]:
        """Every process and node that actions, probes and the control name; what a variable names is left out."""
        named: list[Named] = []
        for where, activity in activities(self.document):
            named += self._named(_own_arguments(activity), (*where, "provider", "arguments"))
        for n, control in enumerate(self.document.get("controls") or []):
            named += self._named(_own_arguments(control), ("controls", n, "provider", "arguments"))
        return named

    def _named(self, arguments: dict[str, Any], where: tuple[Any, ...]) -> Iterator[Named]:
        for key, value in arguments.items():
            if not isinstance(value, str) or not value or value == EVERYWHERE or "${" in value:
                continue
            if key in PROCESSES or key in NODES:
                yield Named("process" if key in PROCESSES else "node", value, self.place(*where, key))


def _own_arguments(control: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an activity or a control of ours; a process has a list or a text, which names none of ours."""
    provider: object = control.get("provider")
    if not isinstance(provider, dict):  # beside a ``ref`` it may be anything
        return {}
    arguments: object = cast(dict[str, Any], provider).get("arguments")
    is_ours = str(cast(dict[str, Any], provider).get("module", "")).startswith("kubelab.")
    return cast(dict[str, Any], arguments) if is_ours and isinstance(arguments, dict) else {}


def words_of(document: dict[str, Any]) -> dict[str, Any]:
    """The entry ``kubelab`` of an experiment's ``extensions``."""
    extensions: list[dict[str, Any]] = document.get("extensions") or []
    return next((e for e in extensions if e.get("name") == EXTENSION), {})


def load(path: Path) -> Experiment:
    """Read and check a file. Raises BadExperiment."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else str(err)
        raise BadExperiment(f"{path}: {reason}") from err
    try:
        node = yaml.compose(text)
        document: object = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise BadExperiment(f"{place}: {err.problem or err}") from err
    except (yaml.YAMLError, ValueError) as err:
        raise BadExperiment(f"{path}: {err}") from err
    if not isinstance(document, dict) or node is None:
        raise BadExperiment(f"{path}:1: an experiment is a mapping with title, description and method")
    lines: dict[tuple[Any, ...], int] = {}
    _number(node, (), lines)
    experiment = Experiment(path, cast(dict[str, Any], document), lines)
    problems = [*schema.validate(experiment.document, experiment.place)]
    if not problems:
        for where, activity in activities(experiment.document):
            problems += _activity(experiment, where, activity)
        problems += validate_control(experiment)
    if problems:
        raise BadExperiment("\n".join(problems))
    return experiment


def own_control(document: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the path and the arguments of our control; empty where the experiment does not name it."""
    for n, control in enumerate(document.get("controls") or []):
        if control.get("provider", {}).get("module") == CONTROL:
            return ("controls", n, "provider", "arguments"), control["provider"].get("arguments", {})
    return ("controls",), {}


def validate_control(experiment: Experiment, configuration: dict[str, Any] | None = None) -> list[str]:
    """Return the errors of our control's arguments; ``configuration`` has the values of each ``${name}``."""
    where, arguments = own_control(experiment.document)
    if configuration is not None:
        arguments = substitute(arguments, configuration, {})
    errors = spec.validate(arguments, final=configuration is not None)
    return [f"{experiment.place(*where, name)}: {why}" for name, why in errors]


def activities(document: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Every activity, and the path to it."""
    hypothesis: Any = document.get("steady-state-hypothesis")
    groups: list[tuple[tuple[Any, ...], Any]] = [
        (("steady-state-hypothesis", "probes"), hypothesis.get("probes") if isinstance(hypothesis, dict) else None),
        (("method",), document.get("method")),
        (("rollbacks",), document.get("rollbacks")),
    ]
    for where, group in groups:
        if isinstance(group, list):
            for n, activity in enumerate(cast(list[Any], group)):
                if isinstance(activity, dict):
                    yield (*where, n), cast(dict[str, Any], activity)


def _activity(experiment: Experiment, where: tuple[Any, ...], activity: dict[str, Any]) -> Iterator[str]:
    """Yield the errors of an action or probe of ours; Chaos Toolkit checks those of other extensions."""
    if "ref" in activity:
        return
    if not activity.get("type"):
        yield f"{experiment.place(*where)}: type: required"
        return
    if isinstance(activity.get("tolerance"), float):
        place = experiment.place(*where, "tolerance")
        yield f"{place}: tolerance: a whole number, a text, true, false, or a pair such as [99.5, 100]"
    provider: dict[str, Any] = activity["provider"]
    module = str(provider.get("module", ""))
    if not module.startswith("kubelab."):
        return
    if module not in MODULES:
        modules = " and ".join(MODULES)
        yield f'{experiment.place(*where, "provider", "module")}: no module "{module}"; there are {modules}'
        return
    available = functions(module)
    name = str(provider.get("func", ""))
    if name not in available:
        kind = "action" if module.endswith("actions") else "probe"
        close = difflib.get_close_matches(name, available, n=1)
        meant = f'did you mean "{close[0]}"? ' if close else ""
        place = experiment.place(*where, "provider", "func")
        yield f'{place}: unknown {kind} "{name}"; {meant}there are: {", ".join(available)}'
        return
    yield from _arguments(
        experiment, (*where, "provider", "arguments"), name, available[name], provider.get("arguments", {})
    )


def _arguments(
    experiment: Experiment, where: tuple[Any, ...], name: str, function: Callable[..., Any], arguments: dict[str, Any]
) -> Iterator[str]:
    parameters = inspect.signature(function).parameters
    for key in arguments:
        if key not in parameters:
            names = ", ".join(parameters) or "none"
            yield f'{experiment.place(*where, key)}: {name} has no argument "{key}"; it has: {names}'
    for key, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in arguments:
            yield f'{experiment.place(*where)}: {name} needs the argument "{key}"'


def functions(module: str) -> dict[str, Callable[..., Any]]:
    """Every action or probe of a module of ours, by name."""
    loaded = importlib.import_module(module)
    return {
        name: function
        for name, function in sorted(inspect.getmembers(loaded, inspect.isfunction))
        if function.__module__ == module and not name.startswith("_")
    }


def _number(node: yaml.Node, path: tuple[Any, ...], lines: dict[tuple[Any, ...], int]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in cast(list[tuple[yaml.Node, yaml.Node]], node.value):
            name = key.value if isinstance(key, yaml.ScalarNode) else str(key.start_mark.line)
            lines[(*path, name)] = key.start_mark.line + 1
            _number(value, (*path, name), lines)
    elif isinstance(node, yaml.SequenceNode):
        for n, item in enumerate(cast(list[yaml.Node], node.value)):
            _number(item, (*path, n), lines)


def _line(lines: dict[tuple[Any, ...], int], path: tuple[Any, ...]) -> int:
    """The line of a part, or of the nearest thing around it that is there."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)
