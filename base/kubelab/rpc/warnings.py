"""Warnings in an api-server's answer: the request is valid, but its author may not have meant it.

Each warning is an entry of the call's trailing metadata. A program that wants to show them sets a listener; without one
they are not read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from contextvars import ContextVar

KEY = "kubelab-warning-bin"  # binary: paths and values may have any characters
MAX_CHARACTERS = 256  # of one warning, where all of them are too long (k8s.io/apiserver, filters/warning.go)
MAX_BYTES = 4096  # of all warnings of a request

_LISTENER: ContextVar[Callable[[str], None] | None] = ContextVar("kubelab_warning_listener", default=None)


def metadata(warnings: Sequence[str]) -> tuple[tuple[str, bytes], ...]:
    """Give the trailing metadata for a request's warnings: each text once, in order, within the bounds."""
    every = [text.encode(errors="replace") for text in dict.fromkeys(warnings) if text]
    if sum(map(len, every)) > MAX_BYTES:
        every = [text.decode()[:MAX_CHARACTERS].encode() for text in every]
    kept: list[bytes] = []
    remaining = MAX_BYTES
    for text in every:
        remaining -= len(text)
        if remaining < 0:
            break
        kept.append(text)
    return tuple((KEY, text) for text in kept)


@contextlib.contextmanager
def listening(listener: Callable[[str], None]) -> Generator[None]:
    """Let ``listener`` hear the warnings of every call that is made in the body."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def has_listener() -> bool:
    """Say whether there is a listener."""
    return _LISTENER.get() is not None


def deliver(warnings: Iterable[str]) -> None:
    """Hand warnings to the listener, if there is one."""
    listener = _LISTENER.get()
    if listener is not None:
        for text in warnings:
            listener(text)


def deliver_from(trailing: Iterable[tuple[str, str | bytes]] | None) -> None:
    """Hand the warnings of a call's trailing metadata to the listener."""
    deliver(value.decode(errors="replace") for key, value in trailing or () if key == KEY and isinstance(value, bytes))
