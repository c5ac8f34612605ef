"""When a refused client may come again: later, the more were refused just before (upstream: droppedRequestsTracker)."""

from __future__ import annotations

LEAST, MOST = 1, 32  # seconds
_GROWS_FROM, _SHRINKS_BELOW = 3, 1  # refused requests a second of the time that is said


class RetryAfter:
    """Of one level. It is twice as long after a span with many refusals, and half as long after one with few."""

    __slots__ = ("_refused", "_since", "seconds")

    def __init__(self, now: float) -> None:
        self.seconds, self._since, self._refused = LEAST, now, 0

    def refused(self, now: float) -> int:
        """Count a refusal; gives the seconds to say."""
        passed = now - self._since
        while passed >= self.seconds:
            rate = self._refused / self.seconds
            passed -= self.seconds
            self._since += self.seconds
            self._refused = 0
            if rate >= _GROWS_FROM:
                self.seconds = min(MOST, self.seconds * 2)
            elif rate < _SHRINKS_BELOW:
                if self.seconds == LEAST:  # nothing more to learn of spans without refusals
                    self._since = now
                    break
                self.seconds = max(LEAST, self.seconds // 2)
        self._refused += 1
        return self.seconds
