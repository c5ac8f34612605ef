"""Partitions of a local cluster: kept on disk, and put in place as packet filter rules in the nodes' namespaces.

Changes are serial. The list on disk is written before the rules, so a supervisor that follows one that was killed in
between puts in place what is on disk, and heals what it is told to.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from kubelab.apimachinery.errors import InternalError
from kubelab.cluster import partitions
from kubelab.cluster.driver import Partition
from kubelab.cluster.partitions import Place, Topology
from kubelab.cluster.record import Node
from kubelab.supervisor.network import NamespaceThread

NFT_SECONDS = 10.0
_SIOCGIFHWADDR = 0x8927


class Partitions:
    """``threads`` live in the nodes' namespaces; ``processes`` are names such as ``scheduler@cp-1``."""

    def __init__(
        self, nodes: Sequence[Node], threads: Mapping[str, NamespaceThread], processes: Sequence[str], file: Path
    ) -> None:
        self._nodes, self._threads, self._processes, self._file = nodes, threads, processes, file
        self._lock = asyncio.Lock()
        self._there: list[Partition] = []

    async def begin(self) -> None:
        """Mark connections from now on, and put in place what the supervisor before had."""
        await asyncio.gather(*(self._apply(node.name, partitions.MARKING) for node in self._nodes))
        if self._file.exists():
            self._there = [Partition(**told) for told in json.loads(self._file.read_text())]
            await self._put()

    def list(self) -> Sequence[Partition]:
        return tuple(self._there)

    async def add(self, partition: Partition) -> None:
        """Cut two sides off from each other. NotFound, BadRequest for sides that are not there or cannot be cut."""
        async with self._lock:
            partitions.check(self._topology(), partition)
            if partition not in self._there:
                self._there.append(partition)
                await self._put()

    async def heal(self, partition: Partition | None) -> None:
        """Take one away, or all of them."""
        async with self._lock:
            left = [] if partition is None else [p for p in self._there if p != partition]
            if left != self._there:
                self._there = left
                await self._put()

    async def _put(self) -> None:
        if self._there:
            temporary = self._file.with_suffix(".new")
            temporary.write_text(json.dumps([asdict(partition) for partition in self._there]))
            temporary.replace(self._file)
        scripts = partitions.scripts(self._topology(), self._there)
        await asyncio.gather(*(self._apply(place, script) for place, script in scripts.items()))
        if not self._there:
            self._file.unlink(missing_ok=True)

    def _topology(self) -> Topology:
        places = {node.name: self._place(node) for node in self._nodes}
        processes = {name: places[name.partition("@")[2]] for name in self._processes}
        return Topology({name: (place,) for name, place in places.items()}, processes)

    def _place(self, node: Node) -> Place:
        return Place(node.name, node.address, self._threads[node.name].submit(_mac).result())

    async def _apply(self, place: str, script: str) -> None:
        await asyncio.wrap_future(self._threads[place].submit(lambda: _nft(script)))


def _nft(script: str) -> None:
    done = subprocess.run(
        ["nft", "-f", "-"], input=script, capture_output=True, text=True, timeout=NFT_SECONDS, check=False
    )
    if done.returncode:
        raise InternalError(f"nft: {done.stderr.strip()}")


def _mac() -> str:
    """The link-layer address of this namespace's eth0."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFHWADDR, struct.pack("256s", b"eth0"))
    return answer[18:24].hex(":")
