"""Handle an exception that no code expected: log its traceback, count it, and let the loop go on.

Upstream's word is ``utilruntime.HandleError``. One object that makes its handler fail must not stop the others. A test
run calls :func:`set_strict`; then :func:`handle_error` raises the exception again, so the test fails.
"""

from __future__ import annotations

import collections
from typing import Any, Protocol


class ErrorLogger(Protocol):
    """The method of structlog's logger that :func:`handle_error` calls."""

    def exception(self, event: str, **values: Any) -> object: ...


_counts: collections.Counter[str] = collections.Counter()
_strict = False


def handle_error(log: ErrorLogger, what: str, key: object = "") -> None:
    """Log and count the exception that is being handled. ``what`` names the loop or callback, ``key`` its object."""
    _counts[what] += 1
    log.exception("bug", where=what, key=str(key))
    if _strict:
        raise


def counts() -> dict[str, int]:
    """Return how often each loop or callback failed, for metrics."""
    return dict(_counts)


def set_strict(strict: bool) -> None:
    """Make :func:`handle_error` raise. For test runs."""
    global _strict
    _strict = strict
