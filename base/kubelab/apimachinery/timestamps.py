"""Points in time as messages, as RFC 3339, and as the ages that people read."""

from __future__ import annotations

import math

from kubelab.api.meta.v1.meta_pb2 import MicroTime, Time
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.manifest import jsonmapping


def now(clock: Clock) -> Time:
    """This moment, in whole seconds."""
    return to_time(clock.time())


def to_time(seconds: float) -> Time:
    """Whole seconds, as upstream stores them."""
    return Time(seconds=math.floor(seconds))


def to_micro_time(seconds: float) -> MicroTime:
    """With microseconds."""
    micros = math.floor(seconds * 1_000_000)
    return MicroTime(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def from_time(time: Time | MicroTime) -> float:
    """Seconds since the epoch."""
    return time.seconds + time.nanos / 1e9


def parse_time(text: str) -> Time:
    """Read RFC 3339, in any time zone, to the second; ValueError for anything else."""
    seconds, _ = _parse(text)
    return Time(seconds=seconds)


def format_time(time: Time) -> str:
    """``2006-01-02T15:04:05Z``."""
    return jsonmapping.format_time(time.seconds, time.nanos)


def _parse(text: str) -> tuple[int, int]:
    parsed = jsonmapping.parse_time(text)
    if parsed is None:
        raise ValueError(f"{text!r} is no time as RFC 3339 writes it")
    return parsed


def human_duration(seconds: float) -> str:
    """An age as kubectl prints it: ``25s``, ``4m32s``, ``7m``, ``27h``, ``8d`` (apimachinery's HumanDuration)."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 60 * 2:
        return f"{total}s"
    if minutes < 10:
        return f"{minutes}m{total % 60}s" if total % 60 else f"{minutes}m"
    if minutes < 60 * 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 24 * 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if hours < 24 * 365 * 2:
        return f"{days}d"
    if hours < 24 * 365 * 8:
        years, rest = divmod(days, 365)
        return f"{years}y{rest}d" if rest else f"{years}y"
    return f"{days // 365}y"
