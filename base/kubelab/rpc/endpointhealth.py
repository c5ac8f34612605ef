"""Whether a server still answers, judged by the calls that it was sent and by when it last responded.

A process that is frozen keeps its connections, and gRPC notices it only after seconds. A client whose call is not
answered for a second tries another server meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from kubelab.apimachinery.clock import Clock

SILENCE_SECONDS = 1.0  # after which other servers are preferred


class EndpointHealth:
    """The health of one server, as its client sees it. ``silent`` is a guess: a slow server is taken for a silent one
    until it responds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting = 0
        self._since: float | None = None  # when the oldest call that waits was sent
        self.last = clock.monotonic()

    @property
    def silent(self) -> bool:
        """Say whether a call has been waiting for an answer for more than a second."""
        return self._since is not None and self._clock.monotonic() - self._since > SILENCE_SECONDS

    def responded(self) -> None:
        """Note that the server has sent something."""
        self.last = self._clock.monotonic()
        self._since = self.last if self._waiting else None

    def suspect(self) -> None:
        """Take the server for silent until it responds."""
        self._since = self._clock.monotonic() - 2 * SILENCE_SECONDS

    def reset(self) -> None:
        """Forget the calls that wait: another process is at this address now."""
        self._since = None

    @contextlib.contextmanager
    def calling(self) -> Generator[None]:
        """Count a call while the body runs. A body that ends without an exception has got an answer."""
        if self._since is None:
            self._since = self._clock.monotonic()
        self._waiting += 1
        answered = False
        try:
            yield
            answered = True
        finally:
            self._waiting -= 1
            if answered:
                self.responded()
            elif not self._waiting and not self.silent:
                self._since = None  # the call was cancelled: no evidence about the server
