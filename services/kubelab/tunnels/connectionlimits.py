"""Limits of connections, and the choice of the one to close for a new one.

::

    total            of one process; a connection has two descriptors
    per_tunnel       half of it: a flooded tunnel leaves room for the others
    per_peer         a quarter for one user of this machine, or one address; half for root, whose cluster it is

At a limit, the oldest connection of the same peer (tunnel, process) on which no byte was sent yet is closed; if all
have sent bytes, the new one is refused. So idle connections keep no client out, and silent clients take no more than a
share.
"""

from __future__ import annotations

import resource
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

RESERVED_DESCRIPTORS = 64  # for listeners, namespaces, logs, and control
MOST = 1024
ROOT = "uid 0"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The most connections in total, of one tunnel, of one peer, and of root."""

    total: int
    per_tunnel: int
    per_peer: int
    per_root: int

    @classmethod
    def of_descriptors(cls, descriptors: int | None = None) -> ConnectionLimits:
        """Return the limits for a process with so many descriptors; by default this one's (RLIMIT_NOFILE)."""
        if descriptors is None:
            descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        total = max(8, min(MOST, (descriptors - RESERVED_DESCRIPTORS) // 2))
        return cls(total, total // 2, total // 4, total // 2)

    def of_peer(self, peer: str) -> int:
        return self.per_root if peer == ROOT else self.per_peer


class LimitedConnection(Protocol):
    """The properties of a connection that the limiter uses."""

    port: int
    peer: str

    @property
    def silent(self) -> bool:
        """Say whether neither end has sent a byte yet."""
        ...

    def evict(self) -> None:
        """Close the connection at once."""
        ...


class ConnectionLimiter:
    """Admits connections, and keeps all that are open, the oldest first."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: dict[LimitedConnection, None] = {}
        self._of_peer: Counter[str] = Counter()
        self._of_port: Counter[int] = Counter()
        self.refused = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, new: LimitedConnection) -> bool:
        """Count a new connection; False when there is no room. It may evict a silent one."""
        peer_has, port_has = self._of_peer[new.peer], self._of_port[new.port]
        if (
            (peer_has >= self.limits.of_peer(new.peer) and not self._make_room(peer=new.peer))
            or (port_has >= self.limits.per_tunnel and not self._make_room(port=new.port))
            or (len(self._open) >= self.limits.total and not self._make_room())
        ):
            self.refused += 1
            return False
        self._open[new] = None
        self._of_peer[new.peer] += 1
        self._of_port[new.port] += 1
        return True

    def release(self, one: LimitedConnection) -> None:
        """Stop counting a connection; an unknown one is no error."""
        if one not in self._open:
            return
        del self._open[one]
        self._of_peer[one.peer] -= 1
        self._of_port[one.port] -= 1
        if not self._of_peer[one.peer]:
            del self._of_peer[one.peer]
        if not self._of_port[one.port]:
            del self._of_port[one.port]

    def make_room(self) -> bool:
        """End the oldest silent connection of all: there is no descriptor left. False when there is none."""
        return self._make_room()

    def all_of(self, port: int) -> list[LimitedConnection]:
        """The connections of one tunnel."""
        return [one for one in self._open if one.port == port]

    def _make_room(self, *, peer: str = "", port: int = 0) -> bool:
        """End the oldest silent connection, of one peer or of one tunnel where that is named."""
        for one in self._open:
            if one.silent and peer in ("", one.peer) and port in (0, one.port):
                self.evicted += 1
                self.release(one)
                one.evict()
                return True
        return False
