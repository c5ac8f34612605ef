"""Where two messages differ, for people: which fields, what they were, what they would be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString

from kubelab.apimachinery.messages import map_value
from kubelab.apiserver.strategies.causes import shown


def lines(old: Message, new: Message) -> list[str]:
    """``- restartPolicy: "Always"`` and ``+ restartPolicy: "Never"`` for each field that differs."""
    return list(_message(old, new, ""))


def _message(old: Message, new: Message, path: str) -> Iterator[str]:
    for field in cast(Descriptor, old.DESCRIPTOR).fields:
        here = f"{path}.{field.name}" if path else field.name
        before, after = getattr(old, field.name), getattr(new, field.name)
        if map_value(field) is not None:
            yield from _map(before, after, here)
        elif field.is_repeated:
            yield from _list(list(before), list(after), here)
        elif field.has_presence and not (old.HasField(field.name) and new.HasField(field.name)):
            if old.HasField(field.name):
                yield f"- {here}: {_text(before)}"
            if new.HasField(field.name):
                yield f"+ {here}: {_text(after)}"
        else:
            yield from _value(before, after, here)


def _map(old: Mapping[str, object], new: Mapping[str, object], path: str) -> Iterator[str]:
    for key in sorted({*old, *new}):
        here = f"{path}[{key}]"
        if key in old and key in new:
            yield from _value(old[key], new[key], here)
        else:
            sign, value = ("-", old[key]) if key in old else ("+", new[key])
            yield f"{sign} {here}: {_text(value)}"


def _list(old: list[object], new: list[object], path: str) -> Iterator[str]:
    for i in range(max(len(old), len(new))):
        here = f"{path}[{i}]"
        if i < len(old) and i < len(new):
            yield from _value(old[i], new[i], here)
        else:
            sign, value = ("-", old[i]) if i < len(old) else ("+", new[i])
            yield f"{sign} {here}: {_text(value)}"


def _value(old: object, new: object, path: str) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, Message) and isinstance(new, Message):
        yield from _message(old, new, path)
    else:
        yield f"- {path}: {_text(old)}"
        yield f"+ {path}: {_text(new)}"


def _text(value: object) -> str:
    if isinstance(value, Message):
        return f"{{{MessageToString(value, as_one_line=True).strip()}}}"
    return shown(value)
