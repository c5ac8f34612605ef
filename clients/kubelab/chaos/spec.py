"""The arguments of the control, and their validation. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

ADDRESSES = ("node-port", "cluster-ip")
_KINDS: dict[object, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    int | None: ((int, type(None)), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
}


@dataclass(frozen=True, slots=True)
class ExperimentSpec:
    """The cluster and what the control's arguments ask for. Rates are per second, 0 for none."""

    cluster: str
    title: str = ""
    beside: Path | None = None  # where each row is written at once
    replicas: int = 3
    requests_per_second: float = 20.0
    writes_per_second: float = 5.0
    via: str = ""  # the node through which requests enter; the cluster's first one by default
    address: str = ADDRESSES[0]
    control_planes: int = 1  # so many at least
    nodes: int = 1
    toleration_seconds: int | None = None


NOT_ARGUMENTS = ("cluster", "title", "beside")
ARGUMENTS = tuple(field.name for field in fields(ExperimentSpec) if field.name not in NOT_ARGUMENTS)
_HINTS = get_type_hints(ExperimentSpec)


def validate(arguments: Mapping[str, Any], *, final: bool = True) -> Iterator[tuple[str, str]]:
    """Each argument that is not there or not of its kind, and why; ``${name}`` is let pass unless all is ``final``."""
    for name, value in arguments.items():
        if name not in ARGUMENTS:
            yield name, f'control kubelab has no argument "{name}"; it has: {", ".join(ARGUMENTS)}'
            continue
        if not final and isinstance(value, str) and "${" in value:
            continue
        kinds, expected = _KINDS[_HINTS[name]]
        negative = isinstance(value, int | float) and value < 0
        if not isinstance(value, kinds) or isinstance(value, bool) or negative:
            yield name, f'{name}: expected {expected}, not "{value}"'
        elif name == "address" and value not in ADDRESSES:
            yield name, f'{name}: expected {" or ".join(ADDRESSES)}, not "{value}"'
