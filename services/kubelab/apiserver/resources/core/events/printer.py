"""The cells of a row of events, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apiserver.printers.cells import age


def row(event: core_pb2.Event, now: float) -> list[str]:
    first = age(event.firstTimestamp if event.firstTimestamp.seconds else event.eventTime, now)
    last = age(event.lastTimestamp, now) if event.lastTimestamp.seconds else first
    count = event.count or 1
    if event.HasField("series"):
        last, count = age(event.series.lastObservedTime, now), event.series.count
    about = event.involvedObject
    source = event.source.component or event.reportingComponent
    host = event.source.host or event.reportingInstance
    return [
        last,
        event.type,
        event.reason,
        f"{about.kind.lower()}/{about.name}" if about.name else about.kind.lower(),
        about.fieldPath,
        f"{source}, {host}" if host else source,
        event.message.strip(),
        first,
        str(count),
        event.metadata.name,
    ]
