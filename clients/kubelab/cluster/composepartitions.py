"""Partitions of a compose cluster: kept on disk, put in place in the containers' network namespaces.

A short-lived helper container shares the namespace that it changes, with the one capability that this takes; so the
cluster's own containers need none. Rules end with their namespace: code that starts a container again, or lists what
is cut off, calls :meth:`ComposePartitions.renew`. Until then a container that docker restarted by itself is healed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from kubelab.apimachinery.errors import Conflict, InternalError
from kubelab.cluster.containers import MACHINE, ComposeContainer, topology
from kubelab.cluster.docker import Docker
from kubelab.files import atomicfile
from kubelab.linux.nftables import NOTHING, Fragment, joined, script
from kubelab.topology import partitions
from kubelab.topology.partitions import Partition, Topology
from kubelab.topology.transaction import NotApplied, apply_everywhere

NFT_SECONDS = 20.0


class ComposePartitions:
    """``file`` says what is cut off, and of which containers that is true."""

    def __init__(self, docker: Docker, file: Path) -> None:
        self._docker, self._file = docker, file

    def list(self, containers: Sequence[ComposeContainer]) -> tuple[Partition, ...]:
        """Name what is cut off; nothing when it was of containers that are gone."""
        try:
            body = cast(dict[str, Any], json.loads(self._file.read_text()))
        except FileNotFoundError:
            return ()
        if not {c.id for c in containers} & set(body["containers"]):
            return ()
        return tuple(Partition(**partition) for partition in body["partitions"])

    async def add(self, containers: Sequence[ComposeContainer], *after: Partition) -> None:
        """Cut sides off from each other. NotFound, BadRequest as ever; Conflict for a side that does not run."""
        with self._alone():
            places = topology(containers)
            names = {c.name for c in containers} | {c.identity.node for c in containers}
            for partition in after:
                for side in (partition.source, partition.target):
                    if side in names and side not in places.processes and side not in places.nodes:
                        raise Conflict(f"{side} does not run: there is nothing to cut off")
                partitions.check(places, partition)
            before = self.list(containers)
            new = [p for p in after if not any(partitions.same(p, other) for other in before)]
            if new:
                await self._change(containers, places, before, (*before, *new))

    async def heal(self, containers: Sequence[ComposeContainer], *unwanted: Partition) -> None:
        """Heal these partitions, or all where none is named: then every place is cleared, also of unlisted rules."""
        with self._alone():
            before = self.list(containers)
            remaining = tuple(
                p for p in before if unwanted and not any(partitions.same(p, other) for other in unwanted)
            )
            if remaining != before or not unwanted:
                await self._change(containers, topology(containers), before, remaining, everywhere=not unwanted)

    async def renew(self, containers: Sequence[ComposeContainer]) -> None:
        """Put in place again what containers that were started anew have lost."""
        with self._alone():
            if current := self.list(containers):
                await self._change(containers, topology(containers), current, current)

    async def _change(
        self,
        containers: Sequence[ComposeContainer],
        places: Topology,
        before: tuple[Partition, ...],
        after: tuple[Partition, ...],
        *,
        everywhere: bool = False,
    ) -> None:
        """Disk first, and more rather than less of what may be in the kernel: then it can be healed in any case."""
        old, new, none = (_scripts(places, these) for these in (before, after, ()))
        touched = [p for p, rules in new.items() if everywhere or rules != none[p] or old[p] != none[p]]
        self._write(containers, max(before, after, key=len))  # one of them has all that the other has
        try:
            await apply_everywhere(
                lambda place, rules: self._apply(containers, place, rules),
                {place: old[place] for place in touched},
                {place: new[place] for place in touched},
            )
        except NotApplied as err:
            if not err.stayed:
                self._write(containers, before)
            raise err.reason from err
        self._write(containers, after)

    async def _apply(self, containers: Sequence[ComposeContainer], place: str, rules: Fragment) -> None:
        """Hand a script to the kernel as one transaction, in the namespace of a container."""
        image = next((c.image for c in containers if c.identity.component == MACHINE), "")
        if not image:
            raise InternalError("no node's container is there, whose image has nft")
        owners = len([c for c in containers if c.runs and c.network_of == place]) > 1
        await self._docker.call(
            *("run", "--rm", "--interactive", "--network", f"container:{place}", "--user", "0:0"),
            *("--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--entrypoint", "nft", image, "-f", "-"),
            stdin=script(joined([partitions.MARKING if owners else NOTHING, rules], "")),
            timeout=NFT_SECONDS,
        )

    def _write(self, containers: Sequence[ComposeContainer], after: Sequence[Partition]) -> None:
        if not after:
            self._file.unlink(missing_ok=True)
            return
        body = {"containers": [c.id for c in containers], "partitions": [asdict(p) for p in after]}
        atomicfile.write(self._file, json.dumps(body))

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Hold the lock on the partitions of this cluster."""
        fd = os.open(self._file.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _scripts(places: Topology, after: Sequence[Partition]) -> dict[str, Fragment]:
    """Every place's rules; a partition one of whose sides is gone waits for it."""
    present = {*places.nodes, *places.processes}
    return partitions.scripts(places, [p for p in after if {p.source, p.target} <= present])
