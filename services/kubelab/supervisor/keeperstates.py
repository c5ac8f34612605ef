"""The states of one process, without any I/O, and how long to wait before it is started again.

::

              start          healthy
    STOPPED ────────▶ STARTING ────────▶ RUNNING ◀────────▶ UNHEALTHY
       ▲                 ▲  │ exited        │ exited            │ exited
       │                 │  └───────────────┴──────┬────────────┘
       │ ended on request│ start                   ▼
       └─────────────────┴──────────────────── BACK_OFF

PAUSED follows every state with a pid, and leads to STARTING (until the next health answer). WAITING
lies between STOPPED and STARTING at the first start of a process that depends on others.
"""

from __future__ import annotations

import enum
import random
from collections import deque
from dataclasses import dataclass, field

FIRST_DELAY = 0.1
MAX_DELAY = 10.0
JITTER = 0.2
STABLE_SECONDS = 10.0


class KeeperState(enum.IntEnum):
    """The numbers are those of supervisor.proto."""

    STARTING = 1
    RUNNING = 2
    UNHEALTHY = 3
    BACK_OFF = 4
    STOPPED = 5
    PAUSED = 6
    WAITING = 7


class KeeperEvent(enum.Enum):
    """An event in the life of a process."""

    WAIT = "wait"  # until others are healthy
    START = "start"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    EXITED = "exited"
    STOPPED = "stopped"  # it has ended, and was asked to
    PAUSE = "pause"
    RESUME = "resume"


MOVES: dict[tuple[KeeperState, KeeperEvent], KeeperState] = {
    (KeeperState.STOPPED, KeeperEvent.START): KeeperState.STARTING,
    (KeeperState.STOPPED, KeeperEvent.STOPPED): KeeperState.STOPPED,
    (KeeperState.STOPPED, KeeperEvent.WAIT): KeeperState.WAITING,
    (KeeperState.WAITING, KeeperEvent.START): KeeperState.STARTING,
    (KeeperState.WAITING, KeeperEvent.STOPPED): KeeperState.STOPPED,
    (KeeperState.BACK_OFF, KeeperEvent.START): KeeperState.STARTING,
    (KeeperState.BACK_OFF, KeeperEvent.STOPPED): KeeperState.STOPPED,
    (KeeperState.BACK_OFF, KeeperEvent.EXITED): KeeperState.BACK_OFF,  # it could not even be started
    (KeeperState.STARTING, KeeperEvent.HEALTHY): KeeperState.RUNNING,
    (KeeperState.STARTING, KeeperEvent.UNHEALTHY): KeeperState.STARTING,
    (KeeperState.RUNNING, KeeperEvent.HEALTHY): KeeperState.RUNNING,
    (KeeperState.RUNNING, KeeperEvent.UNHEALTHY): KeeperState.UNHEALTHY,
    (KeeperState.UNHEALTHY, KeeperEvent.HEALTHY): KeeperState.RUNNING,
    (KeeperState.UNHEALTHY, KeeperEvent.UNHEALTHY): KeeperState.UNHEALTHY,
    (KeeperState.PAUSED, KeeperEvent.HEALTHY): KeeperState.PAUSED,
    (KeeperState.PAUSED, KeeperEvent.UNHEALTHY): KeeperState.PAUSED,
    (KeeperState.PAUSED, KeeperEvent.PAUSE): KeeperState.PAUSED,
    (KeeperState.PAUSED, KeeperEvent.RESUME): KeeperState.STARTING,
    **{
        (state, event): to
        for state in (KeeperState.STARTING, KeeperState.RUNNING, KeeperState.UNHEALTHY, KeeperState.PAUSED)
        for event, to in ((KeeperEvent.EXITED, KeeperState.BACK_OFF), (KeeperEvent.STOPPED, KeeperState.STOPPED))
    },
    **{
        (s, KeeperEvent.PAUSE): KeeperState.PAUSED
        for s in (KeeperState.STARTING, KeeperState.RUNNING, KeeperState.UNHEALTHY)
    },
    **{(s, KeeperEvent.RESUME): s for s in (KeeperState.STARTING, KeeperState.RUNNING, KeeperState.UNHEALTHY)},
}
LIVE = frozenset({KeeperState.STARTING, KeeperState.RUNNING, KeeperState.UNHEALTHY, KeeperState.PAUSED})


class IllegalKeeperMove(Exception):
    """An event that a state does not know; the message has the recent history."""


@dataclass
class KeeperMachine:
    """One process's state, and the last events that led to it."""

    name: str
    state: KeeperState = KeeperState.STOPPED
    history: deque[tuple[KeeperState, KeeperEvent]] = field(default_factory=lambda: deque(maxlen=20))

    def apply(self, event: KeeperEvent) -> bool:
        """Move; True when the state changed. Raises IllegalKeeperMove."""
        self.history.append((self.state, event))
        to = MOVES.get((self.state, event))
        if to is None:
            path = " ".join(f"{state.name}+{event.value}" for state, event in self.history)
            raise IllegalKeeperMove(f"{self.name}: {event.value} in state {self.state.name}; history: {path}")
        changed, self.state = to is not self.state, to
        return changed


@dataclass
class BackOff:
    """Delays double from 0.1 s to 10 s, with up to a fifth of jitter; a run of ten seconds starts them afresh."""

    jitter: random.Random = field(default_factory=random.Random)
    failures: int = 0

    def after(self, lived: float) -> float:
        """Give the seconds to wait after a process that lived so many seconds."""
        if lived >= STABLE_SECONDS:
            self.failures = 0
        delay = min(FIRST_DELAY * 2**self.failures, MAX_DELAY)
        self.failures = min(self.failures + 1, 16)
        return delay * (1 + JITTER * self.jitter.random())
