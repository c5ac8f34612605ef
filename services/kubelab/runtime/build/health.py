"""HEALTHCHECK, as an image's configuration has it. Nothing in a cluster runs it: pods have probes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from kubelab.runtime.build.errors import SyntaxFault

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_LEAST = 10**6  # a millisecond
_DURATIONS = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod",
              "start-interval": "StartInterval"}  # fmt: skip


def health_check(kind: str, words: Sequence[str], *, shell: bool, options: Mapping[str, str]) -> dict[str, Any]:
    """``CMD curl -f http://localhost/`` or ``NONE``; SyntaxFault."""
    if kind.upper() == "NONE":
        if words:
            raise SyntaxFault("HEALTHCHECK NONE takes no arguments")
        return {"Test": ["NONE"]}
    if kind.upper() != "CMD":
        raise SyntaxFault(f'Unknown type "{kind[:60].upper()}" in HEALTHCHECK (try CMD)')
    if not words:
        raise SyntaxFault("Missing command after HEALTHCHECK CMD")
    check: dict[str, Any] = {"Test": ["CMD-SHELL" if shell else "CMD", *words]}
    for option, key in _DURATIONS.items():
        if options[option] and (length := _nanoseconds(options[option])):
            if length < _LEAST:
                raise SyntaxFault(f'Interval "{option}" cannot be less than 1ms')
            check[key] = length
    if options["retries"]:
        if not re.fullmatch(r"[+-]?\d{1,9}", options["retries"]):
            raise SyntaxFault(f"HEALTHCHECK --retries: expected a number, got {options['retries'][:60]!r}")
        retries = int(options["retries"])
        if retries < 0:
            raise SyntaxFault(f"--retries cannot be negative ({retries})")
        check["Retries"] = retries
    return check


def _nanoseconds(text: str) -> int:
    """Go's durations: ``1m30s``, ``1.5h``, ``0``."""
    if text == "0":
        return 0
    found = list(_PART.finditer(text))
    if not found or len(text) > 60 or "".join(part[0] for part in found) != text.removeprefix("+"):
        raise SyntaxFault(f'time: invalid duration "{text[:60]}"')
    length = int(sum(Fraction(part[1]) * _UNITS[part[2]] for part in found))
    if length >= 2**63:
        raise SyntaxFault(f'time: invalid duration "{text[:60]}"')
    return length
