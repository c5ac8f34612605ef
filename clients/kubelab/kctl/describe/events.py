"""The Events table at the end of a description."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.timestamps import human_duration
from kubelab.kctl.describe.writer import NONE, Writer

UNKNOWN = "<unknown>"


def since(time: meta_pb2.Time | meta_pb2.MicroTime, now: float) -> str:
    """Give the age of a moment, ``4m57s``; ``now`` is in seconds since the epoch."""
    if not time.seconds and not time.nanos:
        return UNKNOWN
    return human_duration(now - time.seconds - time.nanos / 1e9)


def write(w: Writer, events: Sequence[core_pb2.Event], now: float) -> None:
    """Write the table, in the order in which things happened last."""
    if not events:
        w.field("Events", NONE)
        return
    w.line("Events:")
    w.line("Type\tReason\tAge\tFrom\tMessage", 1)
    w.line("----\t------\t----\t----\t-------", 1)
    for event in sorted(events, key=last_seen):
        source = event.source.component or event.reportingComponent
        w.line(f"{event.type}\t{event.reason}\t{interval(event, now)}\t{source}\t{event.message.strip()}", 1)


def last_seen(event: core_pb2.Event) -> tuple[int, int]:
    """Give when an event happened last, in seconds and nanoseconds (kubectl's ``SortableEvents``)."""
    if event.HasField("series"):
        moment = event.series.lastObservedTime
    else:
        moment = event.lastTimestamp if event.lastTimestamp.seconds else event.eventTime
    return moment.seconds, moment.nanos


def interval(event: core_pb2.Event, now: float) -> str:
    """Give when an event happened last, and how often over what time: ``3s (x4 over 2m)``."""
    first = since(event.eventTime if event.HasField("eventTime") else event.firstTimestamp, now)
    if event.HasField("series"):
        return f"{since(event.series.lastObservedTime, now)} (x{event.series.count} over {first})"
    if event.count > 1:
        return f"{since(event.lastTimestamp, now)} (x{event.count} over {first})"
    return first
