"""Messages by their descriptors: made from nothing, or changed in a few places."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from kubelab.apimachinery.messages import deep_copy
from tests.fuzz.values import Values

M = TypeVar("M", bound=Message)
MAX_DEPTH = 8


class Maker:
    """Fills messages. ``wild`` is how likely a value is a hostile one, ``dense`` how likely a field is set at all.

    ``fill`` may fill a message itself, and says whether it did.
    """

    def __init__(
        self,
        pick: random.Random,
        *,
        wild: float = 0.3,
        dense: float = 0.5,
        fill: Callable[[Any], bool] | None = None,
        names: Callable[[str], str | None] | None = None,
    ) -> None:
        self._pick, self._values, self._dense = pick, Values(pick, wild, names), dense
        self._own_fill = fill

    def make(self, message: type[M]) -> M:
        """A message of this type, from nothing."""
        result = message()
        self._fill(result, 0)
        return result

    def change(self, message: M, times: int) -> M:
        """A copy with so many changes, each in a field anywhere in it."""
        changed = deep_copy(message)
        for _ in range(times):
            self._change(changed, 0)
        return changed

    def _fill(self, message: Any, depth: int) -> None:
        if self._values.special(message) or (self._own_fill is not None and self._own_fill(message)):
            return
        for field in message.DESCRIPTOR.fields:
            if depth < MAX_DEPTH and self._pick.random() < self._dense / (1 + depth / 4):
                self._set(message, field, depth)

    def _set(self, message: Any, field: Any, depth: int) -> None:
        """Give a field a new value."""
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            self._put(getattr(message, field.name), kind, depth)
        elif field.is_repeated:
            values = getattr(message, field.name)
            for _ in range(self._pick.choice((1, 1, 2, 3))):
                if kind is not None:
                    self._fill(values.add(), depth + 1)
                else:
                    values.append(self._values.scalar(field))
        elif kind is not None:
            part = getattr(message, field.name)
            part.SetInParent()
            self._fill(part, depth + 1)
        else:
            setattr(message, field.name, self._values.scalar(field))

    def _put(self, values: Any, entry: Any, depth: int) -> None:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        for _ in range(self._pick.choice((1, 1, 2, 3))):
            name = self._pick.choice(("cpu", "memory", "app", "a.b", "pods")) if not self._values.hostile() else None
            chosen = name if name is not None and key.type == FieldDescriptor.TYPE_STRING else self._values.scalar(key)
            if value.message_type is not None:
                self._fill(values[chosen], depth + 1)
            else:
                values[chosen] = self._values.scalar(value)

    def _change(self, message: Any, depth: int) -> None:
        fields = message.DESCRIPTOR.fields
        if not fields or self._values.special(message):
            return
        if self._own_fill is not None and self._pick.random() < 0.7 and self._own_fill(message):
            return
        present = [field for field, _ in message.ListFields()]
        field = self._pick.choice(present) if present and self._pick.random() < 0.75 else self._pick.choice(fields)
        kind = field.message_type
        parts = self._parts(message, field) if kind is not None else []
        if parts and depth < MAX_DEPTH and self._pick.random() < 0.8:
            self._change(self._pick.choice(parts), depth + 1)
            return
        match self._pick.randrange(4):
            case 0:
                message.ClearField(field.name)
            case 1 if kind is not None and field.is_repeated and parts and not kind.GetOptions().map_entry:
                getattr(message, field.name).add().CopyFrom(self._pick.choice(parts))
            case _:
                self._set(message, field, depth)

    def _parts(self, message: Any, field: Any) -> list[Any]:
        """The messages that a field holds now."""
        kind, value = field.message_type, getattr(message, field.name)
        if kind.GetOptions().map_entry:
            held = kind.fields_by_name["value"].message_type is not None
            return [value[key] for key in sorted(value)] if held else []
        if field.is_repeated:
            return list(value)
        return [value] if message.HasField(field.name) else []
