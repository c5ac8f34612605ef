"""The schedules of CronJobs: five fields, or ``@hourly`` and its like.

The grammar and the messages are those of robfig/cron's ``ParseStandard``, which upstream uses
(https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax).
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo

from kubelab.apimachinery import durations

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Field:
    low: int
    high: int
    names: Mapping[str, int]


_FIELDS = (
    _Field(0, 59, {}),
    _Field(0, 23, {}),
    _Field(1, 31, {}),
    _Field(1, 12, {name: n for n, name in enumerate(_MONTHS, start=1)}),
    _Field(0, 6, {name: n for n, name in enumerate(_DAYS)}),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule that was understood: five fields of numbers, each ``*`` or a list; or ``every`` so many seconds."""

    fields: tuple[str, str, str, str, str] = ("*", "*", "*", "*", "*")
    every: float = 0.0

    @property
    def expression(self) -> str:
        """The five fields in the form that every reader of crontabs understands."""
        return " ".join(self.fields)


def parse(text: str) -> Schedule:
    """Read a schedule, with or without a time zone before it, which is not looked at. Raises ValueError."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        return _descriptor(text)
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minute, hour, day, month, weekday = (_field(field, kind) for field, kind in zip(fields, _FIELDS, strict=True))
    return Schedule((minute, hour, day, month, weekday))


def _descriptor(text: str) -> Schedule:
    if text in _DESCRIPTORS:
        return parse(_DESCRIPTORS[text])
    if not text.startswith(_EVERY):
        raise ValueError(f"unrecognized descriptor: {text}")
    duration = text.removeprefix(_EVERY)
    try:
        seconds = durations.parse(duration)
    except ValueError as err:
        raise ValueError(f'failed to parse duration {text}: time: invalid duration "{duration}"') from err
    return Schedule(every=float(max(int(seconds), 1)))


def _field(text: str, kind: _Field) -> str:
    """Give ``*`` where any value will do, which counts for the days; else the values."""
    values: set[int] = set()
    anything = False
    for part in text.split(","):
        if part:
            some, star = _range(part, kind)
            values |= some
            anything = anything or star
    return "*" if anything else ",".join(str(value) for value in sorted(values))


def _range(text: str, kind: _Field) -> tuple[set[int], bool]:
    ends, *steps = text.split("/")
    lows = ends.split("-")
    star = lows[0] in ("*", "?")
    if star:
        start, end = kind.low, kind.high
    elif len(lows) > 2:
        raise ValueError(f"too many hyphens: {text}")
    else:
        start = _value(lows[0], kind)
        end = _value(lows[1], kind) if len(lows) == 2 else start
    step = 1
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    if steps:
        step = _number(steps[0])
        end = kind.high if len(lows) == 1 else end  # "5/15" means "5-59/15"
        star = star and step <= 1
    if start < kind.low:
        raise ValueError(f"beginning of range ({start}) below minimum ({kind.low}): {text}")
    if end > kind.high:
        raise ValueError(f"end of range ({end}) above maximum ({kind.high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return set(range(start, end + 1, step)), star


def _value(text: str, kind: _Field) -> int:
    named = kind.names.get(text.lower())
    return named if named is not None else _number(text)


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 0:
        raise ValueError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)


def time_zone(name: str) -> tzinfo:
    """Find a time zone by its name; UTC needs no file. Raises ValueError."""
    if name == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as err:  # no zone, no relative path, a folder of zones
        raise ValueError(f"unknown time zone {name}") from err
