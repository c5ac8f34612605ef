"""No pod on its node's network keeps a port of the node's own processes.

Such a pod can listen where it likes, also on a port that it does not declare, and on the api-server's while that is
being restarted, which then could not come back. The api-server refuses pods that declare such a port; this ends the
containers that take one all the same. The runtime does it, because it works without an api-server.

The kernel sends no event when a port is taken, so the guard looks once a second, as long as there is a container on the
node's network. Sockets that are only bound are seen too (:mod:`kubelab.component.sockets`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from kubelab.apimachinery.clock import Clock
from kubelab.component import sockets
from kubelab.topology import reservedports

LOOK_SECONDS = 1.0
REASON = "ReservedPort"


class Offence(NamedTuple):
    """``process`` of ``container`` holds ``port``."""

    container: str
    process: int
    port: int

    @property
    def message(self) -> str:
        """What the container's status says."""
        owner = reservedports.owner(self.port)
        return f"killed because it held port {self.port}, which is reserved for the node's {owner}"


class PortGuard:
    """``containers`` gives the first processes of the containers on the node's network, by container; ``end`` kills
    a container for what it did."""

    def __init__(
        self,
        containers: Callable[[], Mapping[str, int]],
        end: Callable[[Offence], Awaitable[None]],
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._containers, self._end = containers, end
        self._clock, self._log = clock, log

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if not (containers := self._containers()):
                continue
            try:
                offences = await asyncio.to_thread(look, containers)
            except OSError as err:
                self._log.warning("cannot see who holds the node's own ports", error=str(err))
                continue
            for offence in offences:
                facts = {"container": offence.container[:12], "pid": offence.process, "port": offence.port}
                self._log.warning("a pod holds a reserved port", **facts)
                await self._end(offence)


def look(containers: Mapping[str, int]) -> Sequence[Offence]:
    """Find the containers that hold a reserved port, each once. OSError where the kernel does not tell."""
    held = sockets.on_ports(reservedports.RESERVED)
    if not held:
        return []
    offences: dict[str, Offence] = {}
    for pid, container in belonging(containers).items():
        for inode in sockets.inodes_of(pid):
            if inode in held:
                offences.setdefault(container, Offence(container, pid, held[inode]))
    return list(offences.values())


def belonging(containers: Mapping[str, int]) -> dict[int, str]:
    """Every process of the containers: what is in a container's namespace of processes, where it has one of its own,
    and what descends from its first process."""
    node_namespace = _namespace(os.getpid())
    spaces = {_namespace(pid): container for container, pid in containers.items()}
    first = {pid: container for container, pid in containers.items()}
    containers_by_pid: dict[int, str] = {}
    parents = {pid: _parent(pid) for pid in sockets.processes()}
    for pid in parents:
        ancestor = pid
        while ancestor and ancestor not in first:
            ancestor = parents.get(ancestor, 0)
        if ancestor:
            containers_by_pid[pid] = first[ancestor]
        elif (space := _namespace(pid)) and space != node_namespace and space in spaces:
            containers_by_pid[pid] = spaces[space]
    return containers_by_pid


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0
