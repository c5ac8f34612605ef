"""How long a Job waits before it makes another pod in the place of one that failed (upstream: ``backoff_utils.go``).

The delay doubles with every failure since the last success. Only this process remembers the failures: after a restart
of the controller-manager the delay starts over, as upstream's does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FIRST_DELAY, MAX_DELAY = 10.0, 600.0  # seconds


@dataclass(frozen=True, slots=True)
class BackoffRecord:
    """Failures since the last success, and when the last one was, in seconds since the epoch."""

    failures: int = 0
    last_failure: float = 0.0

    def after(self, succeeded: Iterable[float], failed: Iterable[float]) -> BackoffRecord:
        """Take in the times at which more pods ended."""
        last_success = max(succeeded, default=None)
        if last_success is None:
            counted = [*failed]
            return BackoffRecord(self.failures + len(counted), max([self.last_failure, *counted]))
        counted = [moment for moment in failed if moment > last_success]
        return BackoffRecord(len(counted), max(counted, default=0.0))

    def remaining(self, now: float) -> float:
        """Give the seconds until the next pod may be made."""
        return remaining(self.failures, self.last_failure, now)


def remaining(failures: int, last_failure: float, now: float) -> float:
    """Give the seconds that are left of the delay after so many failures."""
    if not failures:
        return 0.0
    delay = min(FIRST_DELAY * 2 ** min(failures - 1, 16), MAX_DELAY)
    return max(0.0, last_failure + delay - now)
