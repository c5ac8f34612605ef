"""Partitions of a local cluster: kept on disk, and put in place as packet filter rules in the nodes' namespaces.

Changes are serial. The list on disk is written before the rules, and never lacks a partition that may be in the
kernel, so the successor of a killed supervisor puts the list in place and can heal all of it. When the kernel of one
node refuses its rules, all nodes get their former rules again.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import structlog

from kubelab.files import atomicfile, statefile
from kubelab.linux.nftables import Fragment
from kubelab.supervisor import nft
from kubelab.supervisor.network import NamespaceThread
from kubelab.topology import partitions
from kubelab.topology.partitions import NetworkPlace, Partition, Topology
from kubelab.topology.record import NodeRecord
from kubelab.topology.transaction import NotApplied, apply_everywhere

_SIOCGIFHWADDR = 0x8927


class Partitions:
    """``threads`` live in the nodes' namespaces; ``processes`` are names such as ``scheduler@cp-1``."""

    def __init__(
        self,
        nodes: Sequence[NodeRecord],
        threads: Mapping[str, NamespaceThread],
        processes: Sequence[str],
        file: Path,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._nodes, self._threads, self._processes, self._file, self._log = nodes, threads, processes, file, log
        self._lock = asyncio.Lock()
        self._partitions: tuple[Partition, ...] = ()

    async def begin(self) -> None:
        """Mark connections from now on, and put in place what the supervisor before had."""
        recorded = statefile.read_or_forget(
            self._file, statefile.json_list(Partition, source=str, target=str, one_way=bool), self._log.error
        )
        self._partitions = tuple(recorded or ())
        marking = {node.name: partitions.MARKING for node in self._nodes}
        try:
            await apply_everywhere(self._apply, marking, marking)
            if self._partitions:
                await self._put(self._partitions, self._partitions)
        except NotApplied as err:  # a cluster works without marks; adding a partition reports the error
            self._log.warning("connections are not marked", error=err.reason.message)

    def list(self) -> Sequence[Partition]:
        return self._partitions

    async def add(self, partition: Partition) -> None:
        """Cut two sides off from each other. NotFound, BadRequest for sides that are not there or cannot be cut."""
        async with self._lock:
            partitions.check(await self._topology(), partition)
            if not any(partitions.same(partition, other) for other in self._partitions):
                await self._change((*self._partitions, partition))

    async def heal(self, partition: Partition | None) -> None:
        """Heal one, or all of them: then every node is cleared, also of rules that no file lists."""
        async with self._lock:
            remaining = tuple(
                p for p in self._partitions if partition is not None and not partitions.same(p, partition)
            )
            if remaining != self._partitions or partition is None:
                await self._change(remaining)

    async def _change(self, after: tuple[Partition, ...]) -> None:
        """Write the partitions to disk and kernel, or leave both unchanged."""
        before = self._partitions
        self._know(max(before, after, key=len))  # one of them has all that the other has
        try:
            await self._put(before, after)
        except NotApplied as err:
            if not err.stayed:
                self._know(before)
            raise err.reason from err
        self._know(after)

    async def _put(self, before: tuple[Partition, ...], after: tuple[Partition, ...]) -> None:
        topology = await self._topology()
        await apply_everywhere(self._apply, partitions.scripts(topology, before), partitions.scripts(topology, after))

    def _know(self, current: tuple[Partition, ...]) -> None:
        self._partitions = current
        if not self._partitions:
            self._file.unlink(missing_ok=True)
            return
        atomicfile.write(self._file, json.dumps([asdict(partition) for partition in self._partitions]))

    async def _topology(self) -> Topology:
        places = {node.name: await self._place(node) for node in self._nodes}
        processes = {name: places[name.partition("@")[2]] for name in self._processes}
        return Topology({name: (place,) for name, place in places.items()}, processes)

    async def _place(self, node: NodeRecord) -> NetworkPlace:
        return NetworkPlace(node.name, node.address, await asyncio.wrap_future(self._threads[node.name].submit(_mac)))

    async def _apply(self, place: str, rules: Fragment) -> None:
        await asyncio.wrap_future(self._threads[place].submit(lambda: nft.apply(rules)))


def _mac() -> str:
    """The link-layer address of this namespace's eth0."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFHWADDR, struct.pack("256s", b"eth0"))
    return answer[18:24].hex(":")
