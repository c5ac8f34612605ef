"""What a write is decided on, what it decides, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from google.protobuf.message import Message

from kubelab.apiserver.resources.claims import NO_CLAIMS, Claims


class ObjectState(NamedTuple):
    """A stored object: decoded without resourceVersion, as it is stored, and since which revision."""

    obj: Message
    raw: bytes
    revision: int


class Decision(NamedTuple):
    """What shall be stored: None removes the object. ``claims`` change along with it."""

    obj: Message | None
    claims: Claims = NO_CLAIMS


Decide = Callable[[ObjectState, set[str]], Decision]
"""Decides on a state; the set holds the keys of claims that turned out to be another object's. It may be called several
times, on ever fresher states."""


class WriteResult(NamedTuple):
    """An object as a write left it: decoded without resourceVersion, and the encoded ``Any`` that answers carry. Of one
    that was ``removed`` it is the last state."""

    obj: Message
    any: bytes
    revision: int
    warnings: Sequence[str] = ()
    removed: bool = False
