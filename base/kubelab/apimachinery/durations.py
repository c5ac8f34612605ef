"""Lengths of time as Go writes and reads them: ``1m30s``, ``500ms``, ``1.5h``.

Grammar and messages are those of https://pkg.go.dev/time#ParseDuration: kubectl's flags, Dockerfiles and the
configuration of components all use it.
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_NANOSECONDS = 2**63 - 1
_MAX_TEXT = 64  # characters; nothing longer means anything

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?P<unit>[^0-9.]*)", re.ASCII)
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+", re.ASCII)


class DurationError(ValueError):
    """The text is no duration; the message is Go's."""


def parse_nanoseconds(text: str) -> int:
    """Read a duration; DurationError."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest or len(rest) > _MAX_TEXT:
        raise _problem("invalid", text)
    length = Fraction(0)
    while rest:
        part = _PART.match(rest)
        if part is None:
            raise _problem("invalid", text)
        if not part["unit"]:
            raise _problem("missing unit in", text)
        if part["unit"] not in _UNITS:
            raise _problem(f'unknown unit "{part["unit"]}" in', text)
        length += Fraction(part["number"]) * _UNITS[part["unit"]]
        rest = rest[part.end() :]
    if length > MAX_NANOSECONDS:
        raise _problem("invalid", text)
    return -int(length) if text.startswith("-") else int(length)


def parse(text: str) -> float:
    """Read a duration as seconds; DurationError."""
    return parse_nanoseconds(text) / 1e9


def parse_or_seconds(text: str) -> float:
    """Read a duration, or a bare number of seconds, as configurations may have it; DurationError."""
    if len(text) <= _MAX_TEXT and _NUMBER.fullmatch(text.removeprefix("-")):
        return float(text)
    return parse(text)


def format_seconds(seconds: float) -> str:
    """Write whole seconds as Go does: ``10s``, ``1m20s``, ``5m0s``."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds_left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds_left}s"
    return f"{minutes}m{seconds_left}s" if minutes else f"{seconds_left}s"


def _problem(what: str, text: str) -> DurationError:
    shown = text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."
    return DurationError(f'time: {what} duration "{shown}"')
