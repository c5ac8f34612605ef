"""Fields that never change once they are stored, which the option ``immutable`` marks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from kubelab.api.tables import immutability

Change = tuple[str, Any]
"""The path of a field that differs, and its new value; None for one that is not set any more."""


class _Step(NamedTuple):
    """A field that is immutable, or a message below which there are such fields."""

    name: str
    below: tuple[_Step, ...] | None  # None for the field itself


def changed(new: Message, old: Message, *, without: str = "") -> list[Change]:
    """Give the immutable fields that differ, in the order of the contract; not those of the field ``without``.

    Parts of lists and maps are not looked at: a list that may not change is marked itself.
    """
    steps = _steps(new.DESCRIPTOR)
    if without:
        steps = tuple(step for step in steps if step.name != without)
    return list(_changed(new, old, steps, ""))


@cache
def _steps(descriptor: Descriptor, above: tuple[Descriptor, ...] = ()) -> tuple[_Step, ...]:
    """Give the steps of a type. One that contains itself is followed once."""
    steps: list[_Step] = []
    within = (*above, descriptor)
    for field in descriptor.fields:
        if field.full_name in immutability.IMMUTABLE:
            steps.append(_Step(field.name, None))
        elif field.message_type is None or field.is_repeated or field.message_type in within:
            continue
        elif below := _steps(field.message_type, within):
            steps.append(_Step(field.name, below))
    return tuple(steps)


def _changed(new: Any, old: Any, steps: tuple[_Step, ...], path: str) -> Iterator[Change]:
    for name, below in steps:
        before, after = getattr(old, name), getattr(new, name)
        if below is not None:
            yield from _changed(after, before, below, f"{path}{name}.")
        elif before != after or _is_set(new, name) != _is_set(old, name):
            yield f"{path}{name}", after if _is_set(new, name) else None


def _is_set(message: Message, name: str) -> bool:
    return not message.DESCRIPTOR.fields_by_name[name].has_presence or message.HasField(name)
