"""Delays before a failed operation is tried again.

As upstream's ``wait.Backoff`` and ``wait.Jitter`` (https://pkg.go.dev/k8s.io/apimachinery/pkg/util/wait): delays double
up to a cap, and each is drawn at random, so that callers that failed together do not retry together.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

RETRY_JITTER = 0.5  # upstream's workerBackOffPeriodJitterFactor
_DOUBLINGS = 62  # more of them would only make a number that no float holds


@dataclass(frozen=True, slots=True)
class ExponentialBackoff:
    """The delay after the first failure, and the longest one, in seconds."""

    first: float
    cap: float

    def longest(self, failures: int) -> float:
        """The longest delay after so many failures in a row; 0.0 after none."""
        return min(self.first * 2 ** min(failures - 1, _DOUBLINGS), self.cap) if failures > 0 else 0.0

    def delay(self, failures: int, jitter: Callable[[], float] = random.random) -> float:
        """Draw a delay: between half of the longest one and all of it."""
        return self.longest(failures) * (1 + jitter()) / 2


def jittered(seconds: float, factor: float = RETRY_JITTER, jitter: Callable[[], float] = random.random) -> float:
    """Lengthen a period by up to ``factor`` of it."""
    return seconds * (1 + factor * jitter())
