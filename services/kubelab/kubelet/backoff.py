"""Delays that double: for containers that die and images that do not come.

The rule is upstream's ``flowcontrol.Backoff``: the first failure costs nothing, the delay counts from the failure,
and an entry older than twice the longest delay is forgotten, so ten minutes of good run begin anew.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Entry:
    delay: float
    updated: float


class Backoff(Generic[K]):
    """Delays by key; every time is given by the caller, in seconds since the epoch."""

    def __init__(self, base: float, longest: float) -> None:
        self.base, self.longest = base, longest
        self._entries: dict[K, _Entry] = {}

    def delay(self, key: K) -> float:
        """The present delay in seconds; 0.0 for a key that never failed."""
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def remaining(self, key: K, failed_at: float, now: float) -> float:
        """Seconds to wait until a new attempt, after a failure at ``failed_at``; 0.0 when it may go on."""
        entry = self._entries.get(key)
        if entry is None or self._stale(entry, failed_at):
            return 0.0
        return max(0.0, failed_at + entry.delay - now)

    def next(self, key: K, failed_at: float, now: float) -> float:
        """Note that a new attempt begins after a failure at ``failed_at``; answer the delay of the next one."""
        entry = self._entries.get(key)
        fresh = entry is None or self._stale(entry, failed_at)
        delay = self.base if fresh or entry is None else min(entry.delay * 2, self.longest)
        self._entries[key] = _Entry(delay, now)
        return delay

    def forget(self, key: K) -> None:
        self._entries.pop(key, None)

    def _stale(self, entry: _Entry, at: float) -> bool:
        return at - entry.updated > 2 * self.longest
