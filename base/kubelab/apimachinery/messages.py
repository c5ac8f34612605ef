"""Helpers for code that handles messages of any type: deep copies, and the shapes of fields."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)


def deep_copy(message: M) -> M:
    """Copy a message, to change it: what a cache hands out is shared and never changed."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """The field of a map's values; None for a field that is no map."""
    entry = field.message_type
    return entry.fields_by_name["value"] if entry is not None and entry.GetOptions().map_entry else None
