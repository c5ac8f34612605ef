"""The states of one process, without any I/O, and how long to wait before it is started again.

::

              start          healthy
    STOPPED ────────▶ STARTING ────────▶ RUNNING ◀────────▶ UNHEALTHY
       ▲                 ▲  │ exited        │ exited            │ exited
       │                 │  └───────────────┴──────┬────────────┘
       │ ended on request│ start                   ▼
       └─────────────────┴──────────────────── BACK_OFF

PAUSED can be reached from every state with a pid, and left for STARTING (until its health is heard of again). WAITING
lies between STOPPED and STARTING at the first start of a process that stands on others.
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


class State(enum.IntEnum):
    """The numbers are those of supervisor.proto."""

    STARTING = 1
    RUNNING = 2
    UNHEALTHY = 3
    BACK_OFF = 4
    STOPPED = 5
    PAUSED = 6
    WAITING = 7


class Event(enum.Enum):
    """What happens to a process."""

    WAIT = "wait"  # for others to be well
    START = "start"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    EXITED = "exited"
    STOPPED = "stopped"  # it has ended, and was asked to
    PAUSE = "pause"
    RESUME = "resume"


MOVES: dict[tuple[State, Event], State] = {
    (State.STOPPED, Event.START): State.STARTING,
    (State.STOPPED, Event.STOPPED): State.STOPPED,
    (State.STOPPED, Event.WAIT): State.WAITING,
    (State.WAITING, Event.START): State.STARTING,
    (State.WAITING, Event.STOPPED): State.STOPPED,
    (State.BACK_OFF, Event.START): State.STARTING,
    (State.BACK_OFF, Event.STOPPED): State.STOPPED,
    (State.BACK_OFF, Event.EXITED): State.BACK_OFF,  # it could not even be started
    (State.STARTING, Event.HEALTHY): State.RUNNING,
    (State.STARTING, Event.UNHEALTHY): State.STARTING,
    (State.RUNNING, Event.HEALTHY): State.RUNNING,
    (State.RUNNING, Event.UNHEALTHY): State.UNHEALTHY,
    (State.UNHEALTHY, Event.HEALTHY): State.RUNNING,
    (State.UNHEALTHY, Event.UNHEALTHY): State.UNHEALTHY,
    (State.PAUSED, Event.HEALTHY): State.PAUSED,
    (State.PAUSED, Event.UNHEALTHY): State.PAUSED,
    (State.PAUSED, Event.PAUSE): State.PAUSED,
    (State.PAUSED, Event.RESUME): State.STARTING,
    **{
        (state, event): to
        for state in (State.STARTING, State.RUNNING, State.UNHEALTHY, State.PAUSED)
        for event, to in ((Event.EXITED, State.BACK_OFF), (Event.STOPPED, State.STOPPED))
    },
    **{(s, Event.PAUSE): State.PAUSED for s in (State.STARTING, State.RUNNING, State.UNHEALTHY)},
    **{(s, Event.RESUME): s for s in (State.STARTING, State.RUNNING, State.UNHEALTHY)},
}
LIVE = frozenset({State.STARTING, State.RUNNING, State.UNHEALTHY, State.PAUSED})


class IllegalMove(Exception):
    """An event that a state does not know; the message has the recent history."""


@dataclass
class Machine:
    """One process's state, and the last events that led to it."""

    name: str
    state: State = State.STOPPED
    history: deque[tuple[State, Event]] = field(default_factory=lambda: deque(maxlen=20))

    def apply(self, event: Event) -> bool:
        """Move; True when the state changed. Raises IllegalMove."""
        self.history.append((self.state, event))
        to = MOVES.get((self.state, event))
        if to is None:
            told = " ".join(f"{state.name}+{event.value}" for state, event in self.history)
            raise IllegalMove(f"{self.name}: {event.value} in state {self.state.name}; history: {told}")
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
