"""Tracing: the trace that a task belongs to, and the resourceVersion that it acts on.

Both live in context variables, so a ``sync`` sets them once and every call below carries them as gRPC metadata:
``traceparent`` (https://www.w3.org/TR/trace-context/), ``kubelab-cause`` and ``kubelab-caller``.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Generator, Iterable
from contextvars import ContextVar
from dataclasses import dataclass

TRACEPARENT = "traceparent"
CAUSE = "kubelab-cause"
CALLER = "kubelab-caller"
MAX_CALLER, MAX_REVISION = 100, 20  # characters


@dataclass(frozen=True, slots=True)
class SpanContext:
    """One span of one trace: 32 and 16 lower-case hexadecimal digits."""

    trace_id: str
    span_id: str

    @property
    def traceparent(self) -> str:
        """``00-<trace>-<span>-01``."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    def child(self) -> SpanContext:
        """Give a new span of the same trace."""
        return SpanContext(self.trace_id, _span_id())


@dataclass(frozen=True, slots=True)
class Incoming:
    """The unauthenticated tracing metadata of a request. ``span`` is None without a valid ``traceparent``."""

    span: SpanContext | None
    caller: str
    cause: str


_SPAN: ContextVar[SpanContext | None] = ContextVar("kubelab_span", default=None)
_CAUSE: ContextVar[str] = ContextVar("kubelab_cause", default="")


def new_trace() -> SpanContext:
    """Start a trace. The identifiers need to be different, not secret."""
    return SpanContext(_trace_id(), _span_id())


def parse(traceparent: str) -> SpanContext | None:
    """Read a ``traceparent``; None when it is not a valid one (the standard says: then start anew)."""
    parts = traceparent.split("-")
    if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2] or parts[0] == "ff":
        return None
    if any(set(part) - set("0123456789abcdef") for part in parts[:4]):
        return None
    if not int(parts[1], 16) or not int(parts[2], 16):
        return None
    return SpanContext(parts[1], parts[2])


def current() -> SpanContext | None:
    """Give the span that this task is in, if any."""
    return _SPAN.get()


def current_cause() -> str:
    """Give the resourceVersion that this task acts on, or ``""``."""
    return _CAUSE.get()


@contextlib.contextmanager
def span(parent: SpanContext | None = None) -> Generator[SpanContext]:
    """Run the body in a new span: a child of ``parent``, else of the current span, else the first of a new trace."""
    parent = parent or _SPAN.get()
    inner = parent.child() if parent else new_trace()
    token = _SPAN.set(inner)
    try:
        yield inner
    finally:
        _SPAN.reset(token)


@contextlib.contextmanager
def root() -> Generator[SpanContext]:
    """Run the body in a new trace, not in the caller's."""
    inner = new_trace()
    token = _SPAN.set(inner)
    try:
        yield inner
    finally:
        _SPAN.reset(token)


@contextlib.contextmanager
def cause(resource_version: str) -> Generator[None]:
    """Say for the body's calls which revision they follow from."""
    token = _CAUSE.set(resource_version)
    try:
        yield
    finally:
        _CAUSE.reset(token)


def outgoing(caller: str) -> tuple[tuple[str, str], ...]:
    """Give the metadata of one call: a span of its own, below the current one if there is one."""
    here = _SPAN.get()
    call = here.child() if here else new_trace()
    metadata = ((TRACEPARENT, call.traceparent), (CALLER, caller))
    followed = _CAUSE.get()
    return (*metadata, (CAUSE, followed)) if followed else metadata


def incoming(metadata: Iterable[tuple[str, str | bytes]] | None) -> Incoming:
    """Read what :func:`outgoing` sent."""
    values = {key: value for key, value in metadata or () if isinstance(value, str)}
    cause = values.get(CAUSE, "")
    followed = cause if cause.isascii() and cause.isdecimal() and len(cause) <= MAX_REVISION else ""
    return Incoming(parse(values.get(TRACEPARENT, "")), values.get(CALLER, "")[:MAX_CALLER], followed)


def _trace_id() -> str:
    return f"{random.getrandbits(128) or 1:032x}"


def _span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"
