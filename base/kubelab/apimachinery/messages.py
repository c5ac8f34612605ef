"""Copies of protobuf messages: what a cache hands out is shared and never changed."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)


def deep_copy(message: M) -> M:
    """Copy a message, to change it."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
