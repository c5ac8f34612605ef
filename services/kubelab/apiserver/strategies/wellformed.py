"""What no client that writes JSON could have sent: moments that RFC 3339 cannot write.

A protobuf client can send any number of seconds, and upstream stores it; from then on no client can read the object,
nor a list with it, as JSON. So the rule stands before those of the resources and counts for every message of a request.
The fields are found by the descriptors, once a type: a message is only entered where a time can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from kubelab.api.tables import spelling
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.manifest import jsonmapping
from kubelab.apimachinery.messages import map_value
from kubelab.apiserver.strategies import causes

_TIMES = frozenset((jsonmapping.TIME, jsonmapping.MICRO_TIME))


def validate(message: Message) -> list[Cause]:
    """All complaints about a message's times, with their paths."""
    if _sound(message):
        return []  # as nearly always, and found without making paths
    return [
        causes.invalid(path, causes.Raw(f"{time.seconds}s {time.nanos}ns"), jsonmapping.OUT_OF_RANGE)
        for path, time in _times(message, "")
        if not jsonmapping.is_time(time.seconds, time.nanos)
    ]


class _Step(NamedTuple):
    """A field in which there is a time, or below which there may be one."""

    name: str
    label: str  # as the path has it; nothing for a part that JSON inlines
    is_time: bool
    places: Callable[[Any, str], Iterator[tuple[str, Any]]]


@cache
def _steps(descriptor: Descriptor) -> tuple[_Step, ...]:
    complaints: list[_Step] = []
    for field in descriptor.fields:
        kind, places = field.message_type, _one
        if (value := map_value(field)) is not None:
            kind, places = value.message_type, _map
        elif field.is_repeated:
            places = _list
        if kind is not None and _has_times(kind, frozenset()):
            label = "" if field.full_name in spelling.INLINE else field.name
            complaints.append(_Step(field.name, label, kind.full_name in _TIMES, places))
    return tuple(complaints)


def _has_times(descriptor: Descriptor, above: frozenset[str]) -> bool:
    """Whether there may be a time in such a message; ``above`` are the types around it."""
    if descriptor.full_name in _TIMES:
        return True
    inside = above | {descriptor.full_name}
    parts = (field.message_type for field in descriptor.fields)
    return any(part is not None and part.full_name not in inside and _has_times(part, inside) for part in parts)


def _sound(message: Any) -> bool:
    for step in _steps(message.DESCRIPTOR):
        if step.places is _one:
            if not message.HasField(step.name):
                continue
            values: Any = (getattr(message, step.name),)
        else:
            values = getattr(message, step.name)
            values = values.values() if step.places is _map else values
        for value in values:
            if not (jsonmapping.is_time(value.seconds, value.nanos) if step.is_time else _sound(value)):
                return False
    return True


def _one(message: Any, name: str) -> Iterator[tuple[str, Any]]:
    if message.HasField(name):
        yield "", getattr(message, name)


def _list(message: Any, name: str) -> Iterator[tuple[str, Any]]:
    for i, value in enumerate(getattr(message, name)):
        yield f"[{i}]", value


def _map(message: Any, name: str) -> Iterator[tuple[str, Any]]:
    values = getattr(message, name)
    for key in sorted(values):
        yield f"[{key}]", values[key]


def _times(message: Any, path: str) -> Iterator[tuple[str, Any]]:
    for step in _steps(message.DESCRIPTOR):
        here = f"{path}.{step.label}" if path and step.label else path or step.label
        for place, value in step.places(message, step.name):
            if step.is_time:
                yield f"{here}{place}", value
            else:
                yield from _times(value, f"{here}{place}")
