"""Find an object's fields that kubelab does not act on, which the options ``stored`` and ``refused`` mark.

An api-server reads the marks when an object is written, never when it is read. The usual object has no such field, and
one pass over the marked fields finds that out. The status is the system's own and is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from kubelab.api.tables import marks, spelling
from kubelab.apimachinery.messages import map_value
from kubelab.apimachinery.version import VERSION

MAX_MARKED = 100  # fields of one object that are named
STORED = f"kubelab {VERSION.rpartition('.')[0]} stores this field and does not act on it"


class _Step(NamedTuple):
    """A field that is marked, or below which there are marked ones."""

    name: str
    label: str  # as the path has it; nothing for a part that JSON inlines
    mark: str  # what is said of the field; nothing for one above marked ones
    shape: str  # "present" where the message knows whether it has the field, else "plain", "list" or "map"
    below: tuple[_Step, ...]


def stored(obj: Message) -> list[str]:
    """Give a warning for each field that is stored and not acted on, the first :data:`MAX_MARKED`."""
    return [f"{path}: {mark}" for path, mark in _marked(obj, _stored(obj.DESCRIPTOR))]


def refused(obj: Message) -> list[tuple[str, str]]:
    """Give the path of each field that is refused, and why, the first :data:`MAX_MARKED`."""
    return _marked(obj, _refused(obj.DESCRIPTOR))


@cache
def _stored(descriptor: Descriptor) -> tuple[_Step, ...]:
    return _without_status(_steps(descriptor, dict.fromkeys(marks.STORED, STORED)))


@cache
def _refused(descriptor: Descriptor) -> tuple[_Step, ...]:
    return _without_status(_steps(descriptor, marks.REFUSED))


def _without_status(steps: tuple[_Step, ...]) -> tuple[_Step, ...]:
    return tuple(step for step in steps if step.name != "status")


def _steps(descriptor: Descriptor, table: Mapping[str, str], above: tuple[Descriptor, ...] = ()) -> tuple[_Step, ...]:
    """Give the steps of a type. One that contains itself is followed once."""
    steps: list[_Step] = []
    within = (*above, descriptor)
    for field in descriptor.fields:
        name, kind = field.full_name, field.message_type
        shape = "list" if field.is_repeated else "present" if field.has_presence else "plain"
        if (value := map_value(field)) is not None:
            shape, kind = "map", value.message_type
        mark = table.get(name, "")
        below = _steps(kind, table, within) if kind is not None and not mark and kind not in within else ()
        if mark or below:
            steps.append(_Step(field.name, "" if name in spelling.INLINE else field.name, mark, shape, below))
    return tuple(steps)


def _marked(obj: Message, steps: tuple[_Step, ...]) -> list[tuple[str, str]]:
    if not _any(obj, steps):
        return []
    return list(islice(_each(obj, steps, ""), MAX_MARKED))


def _any(message: Any, steps: tuple[_Step, ...]) -> bool:
    for name, _, mark, shape, below in steps:
        if shape == "present":
            if message.HasField(name) and (mark or _any(getattr(message, name), below)):
                return True
            continue
        value = getattr(message, name)
        if value:
            if mark:
                return True
            for part in value.values() if shape == "map" else value:
                if _any(part, below):
                    return True
    return False


def _each(message: Any, steps: tuple[_Step, ...], path: str) -> Iterator[tuple[str, str]]:
    for step in steps:
        is_set = message.HasField(step.name) if step.shape == "present" else bool(getattr(message, step.name))
        if not is_set:
            continue
        here = f"{path}.{step.label}" if path and step.label else path or step.label
        if step.mark:
            yield here, step.mark
            continue
        for place, part in _parts(step.shape, getattr(message, step.name)):
            yield from _each(part, step.below, here + place)


def _parts(shape: str, value: Any) -> Iterator[tuple[str, Message]]:
    if shape == "present":
        yield "", value
    elif shape == "list":
        for i, part in enumerate(value):
            yield f"[{i}]", part
    else:
        for key in sorted(value):
            yield f"[{key}]", value[key]
