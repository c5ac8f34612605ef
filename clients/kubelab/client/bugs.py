"""What to do with an exception that nobody expected: log it with its traceback, count it, go on.

One poisonous object must not stop the others. Under test the same exception is a failure: the test run sets
:func:`set_strict` and :func:`record` raises what it was called for.
"""

from __future__ import annotations

import collections
from typing import Any, Protocol


class Logger(Protocol):
    """The part of a logger that is used here: structlog's."""

    def exception(self, event: str, **values: Any) -> object: ...


_counts: collections.Counter[str] = collections.Counter()
_strict = False


def record(log: Logger, what: str, key: object = "") -> None:
    """Note the exception that is being handled. ``what`` names the loop or callback, ``key`` its object."""
    _counts[what] += 1
    log.exception("bug", where=what, key=str(key))
    if _strict:
        raise


def counts() -> dict[str, int]:
    """Give how often each place failed, for metrics."""
    return dict(_counts)


def set_strict(strict: bool) -> None:
    """Make :func:`record` raise. For test runs."""
    global _strict
    _strict = strict
