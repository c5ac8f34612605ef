"""Record events about objects, correlated as upstream does (client-go ``events_cache.go``).

:meth:`EventRecorder.event` only puts the event into a bounded queue; :meth:`EventRecorder.run` writes them. The same
event again raises ``count`` and ``lastTimestamp`` of the first; many events of one kind that differ in their message
only are combined; of one object not more than ``BURST`` at once and one in five minutes are written, but all are
counted.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import AlreadyExists, ApiError, NotFound, Timeout, TooManyRequests, Unavailable
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import EVENTS
from kubelab.apimachinery.timestamps import to_time
from kubelab.client import runtimeerrors
from kubelab.client.client import Client
from kubelab.client.controller import WorkerLogger
from kubelab.rpc import tracing

PENDING = 1000  # events that wait to be written; more are dropped, newest first
REMEMBERED = 4096  # events and objects that are correlated
BURST = 25  # events of one object at once
REFILL = 300.0  # seconds until one more may be written
SIMILAR = 10  # events that differ in their message only, before they are combined
SIMILAR_WITHIN = 600.0  # seconds
ATTEMPTS = 12
RETRY_SECONDS = 5.0
COMBINED = "(combined from similar events): "

EventKind = Literal["Normal", "Warning"]


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True)
class _Group:
    """Events that differ in their message only."""

    messages: set[str] = field(default_factory=set[str])
    at: float = 0.0


@dataclass(slots=True)
class _Series:
    """One event, however often it happened, and whether the api-server has it."""

    event: core_pb2.Event
    written: bool = False


@dataclass(slots=True)
class _Pending:
    event: core_pb2.Event
    span: tracing.SpanContext | None
    cause: str


class EventRecorder:
    """See the module. ``component`` and ``host`` are the event's source: ``kubelet``, ``node-1``."""

    def __init__(
        self,
        client: Client,
        component: str,
        host: str = "",
        clock: Clock | None = None,
        *,
        log: WorkerLogger | None = None,
    ) -> None:
        self._client = client
        self._source = core_pb2.EventSource(component=component, host=host)
        self._clock = clock or client.clock
        self._log: WorkerLogger = log or structlog.get_logger()
        self._pending: deque[_Pending] = deque()
        self._arrived = asyncio.Event()
        self._series: OrderedDict[tuple[str, ...], _Series] = OrderedDict()
        self._groups: OrderedDict[tuple[str, ...], _Group] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()
        self._last_nanos = 0
        self.dropped = 0

    def event(
        self, obj: Message, type: EventKind, reason: str, message: str, *, field_path: str = ""
    ) -> None:  # upstream's word is type
        """Note that something happened to ``obj``; never blocks, never fails the caller.

        ``field_path`` names a part of it, such as ``spec.containers{web}``.
        """
        try:
            event = self._make(reference_to(obj, field_path), type, reason, message)
        except Exception:  # noqa: BLE001 — telling what happened must not break what happens
            runtimeerrors.handle_error(self._log, "event recorder", reason)
            return
        if len(self._pending) >= PENDING:
            self.dropped += 1
            return
        self._pending.append(_Pending(event, tracing.current(), tracing.current_cause()))
        self._arrived.set()

    async def run(self) -> None:
        """Write what comes in until cancelled."""
        while True:
            while self._pending:
                pending = self._pending.popleft()
                with tracing.span(pending.span), tracing.cause(pending.cause):
                    await self._write(pending.event)
            self._arrived.clear()
            await self._arrived.wait()

    def _make(self, reference: core_pb2.ObjectReference, kind: EventKind, reason: str, message: str) -> core_pb2.Event:
        moment = to_time(self._clock.time())
        return core_pb2.Event(
            metadata=meta_pb2.ObjectMeta(name=self._name(reference), namespace=reference.namespace or "default"),
            involvedObject=reference,
            reason=reason,
            message=message,
            source=self._source,
            firstTimestamp=moment,
            lastTimestamp=moment,
            count=1,
            type=kind,
            reportingComponent=self._source.component,
            reportingInstance=self._source.host,
        )

    async def _write(self, event: core_pb2.Event) -> None:
        series = self._observe(self._correlate(event), event)
        if not self._admit(event):
            self.dropped += 1  # but counted: the next one of its kind that is written tells how many there were
            return
        for attempt in range(ATTEMPTS):
            # An update names no version, as upstream's patch does not, so it needs no answer to an earlier one.
            write = self._client.update if series.written else self._client.create
            try:
                await write(series.event)
            except AlreadyExists:
                await self._meet(series)
            except (Unavailable, Timeout, TooManyRequests) as err:
                self._log.warning("event not written, will retry", event_reason=event.reason, error=err.message)
                await self._clock.sleep(RETRY_SECONDS * min(attempt + 1, 4) / 4)
            except ApiError as err:
                if series.written and isinstance(err, NotFound):
                    series.written = False  # it has expired: write it again
                    continue
                # Its namespace is being deleted, for one.
                self._log.warning("event refused", event_reason=event.reason, error=err.message)
                return
            else:
                series.written = True
                return
        self.dropped += 1

    async def _meet(self, series: _Series) -> None:
        """Find out whose event has the name: our own, of an attempt whose answer was lost, or another component's about
        the same object in the same nanosecond."""
        event = series.event
        try:
            existing = await self._client.get(EVENTS, event.metadata.name, event.metadata.namespace)
        except ApiError:
            return  # the next attempt meets it again
        is_same = (existing.source, existing.involvedObject, existing.reason) == (
            event.source,
            event.involvedObject,
            event.reason,
        )
        if is_same and existing.firstTimestamp == event.firstTimestamp:
            series.written = True
        else:
            event.metadata.name = self._name(event.involvedObject)

    def _name(self, reference: core_pb2.ObjectReference) -> str:
        """A name that this recorder has not used: two events of one moment need two."""
        self._last_nanos = max(int(self._clock.time() * 1e9), self._last_nanos + 1)
        return f"{reference.name}.{self._last_nanos:x}"

    def _observe(self, key: tuple[str, ...], event: core_pb2.Event) -> _Series:
        """Count an event, as the same one again when it is known."""
        series = self._series.pop(key, None)
        if series is None:
            series = _Series(event)
        else:
            series.event.count += 1
            series.event.lastTimestamp.CopyFrom(event.lastTimestamp)
            series.event.message = event.message
        _keep(self._series, key, series)
        return series

    def _correlate(self, event: core_pb2.Event) -> tuple[str, ...]:
        """Give the key under which the same event is found again; combine what differs in its message only."""
        ref = event.involvedObject
        similar = (ref.uid, ref.kind, ref.namespace, ref.name, ref.fieldPath, event.type, event.reason)
        now = self._clock.monotonic()
        group = self._groups.pop(similar, None)
        if group is None or now - group.at > SIMILAR_WITHIN:
            group = _Group()
        group.at = now
        group.messages.add(event.message)
        _keep(self._groups, similar, group)
        if len(group.messages) < SIMILAR:
            return (*similar, event.message)
        group.messages.pop()  # bounded: it stays one below the limit and lets the next one through
        group.messages.add(event.message)
        event.message = COMBINED + event.message
        return similar

    def _admit(self, event: core_pb2.Event) -> bool:
        """Take a token of the object's bucket."""
        ref = event.involvedObject
        key = (ref.uid, ref.kind, ref.namespace, ref.name)
        now = self._clock.monotonic()
        bucket = self._buckets.pop(key, None) or _Bucket(BURST, now)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) / REFILL)
        bucket.at = now
        _keep(self._buckets, key, bucket)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


def reference_to(obj: Message, field_path: str = "") -> core_pb2.ObjectReference:
    """Name an object the way events and bindings do; a reference is taken as it is."""
    if isinstance(obj, core_pb2.ObjectReference):
        return obj
    resource = scheme.of_object(obj)
    meta = meta_of(obj)
    return core_pb2.ObjectReference(
        kind=resource.kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        apiVersion=resource.api_version,
        resourceVersion=meta.resourceVersion,
        fieldPath=field_path,
    )


def _keep(cache: OrderedDict[tuple[str, ...], Any], key: tuple[str, ...], value: object) -> None:
    cache[key] = value
    if len(cache) > REMEMBERED:
        cache.popitem(last=False)
