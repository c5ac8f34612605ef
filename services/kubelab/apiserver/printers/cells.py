"""Cells that rows of several kinds have, as kubectl 1.32 prints them
(upstream: pkg/printers/internalversion/printers.go)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.timestamps import from_time, human_duration

NONE, UNKNOWN = "<none>", "<unknown>"


def age(time: meta_pb2.Time | meta_pb2.MicroTime, now: float) -> str:
    """How long ago it was; a time that is not set is unknown."""
    return human_duration(now - from_time(time)) if time.seconds or time.nanos else UNKNOWN


def joined(values: Iterable[str]) -> str:
    """Join with commas; none is ``<none>``."""
    return ",".join(values) or NONE


def pairs(values: Mapping[str, str]) -> str:
    """``a=1,b=2``, in the order of the keys."""
    return joined(f"{key}={value}" for key, value in sorted(values.items()))
