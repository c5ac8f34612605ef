"""Does a server still answer? Judged by what it was asked and what was heard of it since.

A process that is frozen keeps its connections: nothing tells for seconds that nobody is there. Who asks it something
and hears nothing for a second asks another one meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from kubelab.apimachinery.clock import Clock

SILENCE_SECONDS = 1.0  # without an answer, after which others are preferred


class Hearing:
    """What was heard of one server. ``silent`` is an opinion: a slow answer makes it wrong, and the next one right."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked = 0
        self._since: float | None = None  # when the wait began that nothing has ended
        self.last = clock.monotonic()

    @property
    def silent(self) -> bool:
        """Say whether it owes an answer for more than a second."""
        return self._since is not None and self._clock.monotonic() - self._since > SILENCE_SECONDS

    def heard(self) -> None:
        """Note a sign of life."""
        self.last = self._clock.monotonic()
        self._since = self.last if self._asked else None

    def doubt(self) -> None:
        """Hold it for silent until it is heard again."""
        self._since = self._clock.monotonic() - 2 * SILENCE_SECONDS

    def trust(self) -> None:
        """Forget what it owes: whoever is there next owes nothing."""
        self._since = None

    @contextlib.contextmanager
    def asking(self) -> Generator[None]:
        """Ask while the body runs. A body that ends by itself has heard an answer."""
        if self._since is None:
            self._since = self._clock.monotonic()
        self._asked += 1
        answered = False
        try:
            yield
            answered = True
        finally:
            self._asked -= 1
            if answered:
                self.heard()
            elif not self._asked and not self.silent:
                self._since = None  # who asked went away before anything could be told
