"""The cells of a row of limit ranges, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import limits_pb2
from kubelab.apimachinery.timestamps import format_time


def row(limit_range: limits_pb2.LimitRange, now: float) -> list[str]:
    del now
    m = limit_range.metadata
    return [m.name, format_time(m.creationTimestamp) if m.HasField("creationTimestamp") else "<unknown>"]
