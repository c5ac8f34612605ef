"""The form of an experiment: which parts are mappings, lists or texts. Pure.

:mod:`kubelab.chaos.check` relies on the form and checks what the parts mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

Locate = Callable[..., str]  # the path to a part → file:line
LISTS = ("method", "rollbacks", "controls", "extensions")
MAPPINGS = ("steady-state-hypothesis", "configuration", "secrets")


def validate(document: dict[str, Any], place: Locate) -> Iterator[str]:
    """Yield a line for each part that has the wrong form."""
    for key in ("title", "description"):
        if not isinstance(document.get(key), str) or not document[key]:
            yield f"{place(key)}: {key}: required, a text"
    if "method" not in document:
        yield f"{place()}: method: required, a list of actions and probes"
    for key in MAPPINGS:
        yield from _mapping(document, key, (), place)
    for key in LISTS:
        yield from _items(document, key, (), place)
    for key in ("method", "rollbacks"):
        yield from _activities(document.get(key), (key,), place)
    yield from _controls(document.get("controls"), ("controls",), place)
    hypothesis: Any = document.get("steady-state-hypothesis")
    if isinstance(hypothesis, dict):
        where = ("steady-state-hypothesis",)
        yield from _items(cast(dict[str, Any], hypothesis), "probes", where, place)
        yield from _activities(hypothesis.get("probes"), (*where, "probes"), place)


def _activities(items: Any, where: tuple[Any, ...], place: Locate) -> Iterator[str]:
    for path, activity in _mappings(items, where):
        if "ref" not in activity:
            yield from _provider(activity, path, place)
        yield from _mapping(activity, "pauses", path, place)
        yield from _items(activity, "controls", path, place)
        yield from _controls(activity.get("controls"), (*path, "controls"), place)


def _controls(items: Any, where: tuple[Any, ...], place: Locate) -> Iterator[str]:
    for path, control in _mappings(items, where):
        if "ref" not in control:
            yield from _provider(control, path, place)


def _provider(owner: dict[str, Any], where: tuple[Any, ...], place: Locate) -> Iterator[str]:
    for key in ("name", "provider"):
        if not owner.get(key):
            yield f"{place(*where, key)}: {key}: required"
    provider: Any = owner.get("provider")
    if provider and not isinstance(provider, dict):
        yield f"{place(*where, 'provider')}: provider: expected a mapping with type, module and func"
    elif provider and provider.get("type") == "python":  # a process may have its arguments in one text
        yield from _mapping(cast(dict[str, Any], provider), "arguments", (*where, "provider"), place)


def _mapping(parent: dict[str, Any], key: str, where: tuple[Any, ...], place: Locate) -> Iterator[str]:
    if key in parent and not isinstance(parent[key], dict):
        yield f"{place(*where, key)}: {key}: expected a mapping"


def _items(parent: dict[str, Any], key: str, where: tuple[Any, ...], place: Locate) -> Iterator[str]:
    if key not in parent:
        return
    if not isinstance(parent[key], list):
        yield f"{place(*where, key)}: {key}: expected a list"
        return
    for n, item in enumerate(cast(list[Any], parent[key])):
        if not isinstance(item, dict):
            yield f"{place(*where, key, n)}: {key}: each of them is a mapping, and this is {_short(item)}"


def _mappings(items: Any, where: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    if isinstance(items, list):
        for n, item in enumerate(cast(list[Any], items)):
            if isinstance(item, dict):
                yield (*where, n), cast(dict[str, Any], item)


def _short(value: Any) -> str:
    return "nothing" if value is None else f'"{value}"'[:60]
