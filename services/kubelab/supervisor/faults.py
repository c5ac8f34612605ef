"""Partitions of a local cluster: kept on disk, and put in place as packet filter rules in the nodes' namespaces.

Changes are serial. The list on disk is written before the rules, so a supervisor that follows one that was killed in
between puts in place what is on disk, and heals what it is told to. Rules that the kernel refuses leave no partition.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import structlog

from kubelab.apimachinery.errors import InternalError
from kubelab.cluster import partitions
from kubelab.cluster.driver import Partition
from kubelab.cluster.partitions import Place, Topology
from kubelab.cluster.record import Node
from kubelab.supervisor.network import NamespaceThread

NFT_SECONDS = 5.0
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_SIOCGIFHWADDR = 0x8927


class Partitions:
    """``threads`` live in the nodes' namespaces; ``processes`` are names such as ``scheduler@cp-1``."""

    def __init__(
        self,
        nodes: Sequence[Node],
        threads: Mapping[str, NamespaceThread],
        processes: Sequence[str],
        file: Path,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._nodes, self._threads, self._processes, self._file, self._log = nodes, threads, processes, file, log
        self._lock = asyncio.Lock()
        self._there: tuple[Partition, ...] = ()

    async def begin(self) -> None:
        """Mark connections from now on, and put in place what the supervisor before had."""
        if self._file.exists():
            self._there = tuple(Partition(**told) for told in json.loads(self._file.read_text()))
        try:
            await asyncio.gather(*(self._apply(node.name, partitions.MARKING) for node in self._nodes))
            if self._there:
                await self._put()
        except InternalError as err:  # a cluster works without; whoever wants a partition will be told
            self._log.warning("connections are not marked", error=err.message)

    def list(self) -> Sequence[Partition]:
        return self._there

    async def add(self, partition: Partition) -> None:
        """Cut two sides off from each other. NotFound, BadRequest for sides that are not there or cannot be cut."""
        async with self._lock:
            partitions.check(await self._topology(), partition)
            if not any(partitions.same(partition, other) for other in self._there):
                await self._change((*self._there, partition))

    async def heal(self, partition: Partition | None) -> None:
        """Take one away, or all of them."""
        async with self._lock:
            left = tuple(p for p in self._there if partition is not None and not partitions.same(p, partition))
            if left != self._there:
                await self._change(left)

    async def _change(self, wanted: tuple[Partition, ...]) -> None:
        before, self._there = self._there, wanted
        try:
            await self._put()
        except InternalError:
            self._there = before
            self._write()
            raise

    async def _put(self) -> None:
        """Make disk and kernel what is wanted. Nothing is on disk any more only when no rule is left."""
        if self._there:
            self._write()
        scripts = partitions.scripts(await self._topology(), self._there)
        await asyncio.gather(*(self._apply(place, script) for place, script in scripts.items()))
        self._write()

    def _write(self) -> None:
        if not self._there:
            self._file.unlink(missing_ok=True)
            return
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps([asdict(partition) for partition in self._there]))
        temporary.replace(self._file)

    async def _topology(self) -> Topology:
        places = {node.name: await self._place(node) for node in self._nodes}
        processes = {name: places[name.partition("@")[2]] for name in self._processes}
        return Topology({name: (place,) for name, place in places.items()}, processes)

    async def _place(self, node: Node) -> Place:
        return Place(node.name, node.address, await asyncio.wrap_future(self._threads[node.name].submit(_mac)))

    async def _apply(self, place: str, script: str) -> None:
        await asyncio.wrap_future(self._threads[place].submit(lambda: _nft(script)))


def _nft(script: str) -> None:
    """Hand a script to the kernel as one transaction. Raises InternalError with nft's own words."""
    program = shutil.which("nft", path=SYSTEM_PATH)
    if program is None:
        raise InternalError("nft: not found; install the package nftables")
    try:
        done = subprocess.run(
            [program, "-f", "-"], input=script, capture_output=True, text=True, timeout=NFT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise InternalError(f"nft: {err}") from err
    # The supervisor collects every child, so the exit code may be lost; nft that has succeeded says nothing.
    if done.returncode or done.stderr.strip():
        raise InternalError(f"nft: {done.stderr.strip() or f'exit code {done.returncode}'}")


def _mac() -> str:
    """The link-layer address of this namespace's eth0."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFHWADDR, struct.pack("256s", b"eth0"))
    return answer[18:24].hex(":")
