"""HEALTHCHECK, as an image's configuration has it. Nothing in a cluster runs it: pods have probes."""

from __future__ import annotations

from kubelab.apimachinery import durations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.runtime.build.errors import SyntaxFault

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
        if options[option] and (length := _length(options[option])):
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


def _length(text: str) -> int:
    """Nanoseconds; SyntaxFault."""
    try:
        return durations.parse_nanoseconds(text)
    except durations.DurationError as err:
        raise SyntaxFault(str(err)) from err
