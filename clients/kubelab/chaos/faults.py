"""Inject faults into a cluster and undo them. Every action is written to the undo log first, then recorded.

One experiment acts at a time (it holds the undo log's lock). Undoing goes backwards, goes on after a step that
failed, and says at the end what it could not undo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from kubelab.apimachinery import errors
from kubelab.apimachinery.errors import ApiError
from kubelab.chaos import targets
from kubelab.chaos.recording import RecordingWriter
from kubelab.chaos.undolog import HEAL, NAMESPACE, RESUME, START, TUNNEL, UndoEntry, UndoLog
from kubelab.client.client import Client
from kubelab.cluster.clusterprocesses import action_order
from kubelab.cluster.driver import Action, ClusterDriver, Process, ProcessState
from kubelab.topology.partitions import Partition

_UNDO_OF = {Action.STOP: START, Action.PAUSE: RESUME}
_UNDONE = {START: Action.START, RESUME: Action.RESUME}
_OVER = {Action.START: Action.STOP, Action.RESUME: Action.PAUSE}  # what ends which fault
_AT_ONCE = (Action.KILL, Action.RESTART)


class NotUndone(Exception):
    """Some of an experiment's actions could not be undone; the message names them and what to type."""


class Faults:
    """Acts on one cluster. ``writer`` is None where nothing is recorded."""

    def __init__(self, driver: ClusterDriver, undo_log: UndoLog, writer: RecordingWriter | None = None) -> None:
        self._driver, self._undo_log, self._writer = driver, undo_log, writer
        self.leaders: Mapping[str, str] = {}  # role → process, as the recorder sees it

    async def act(self, action: Action, word: str) -> list[str]:
        """Act on every process that a word names, and return their names. NotFound for an unknown word."""
        status = await self._driver.status()
        processes = action_order(targets.processes(status, word, self.leaders), action)
        for process in processes:
            await self._act(action, process)
        return [process.name for process in processes]

    async def _act(self, action: Action, process: Process) -> None:
        if action in _UNDO_OF:
            if process.state in (ProcessState.STOPPED, ProcessState.PAUSED):
                raise errors.Conflict(f"{process.name} is {process.state.value} already: nothing to {action.value}")
            self._undo_log.add(UndoEntry(_UNDO_OF[action], process.name))
        if self._writer and (action in _UNDO_OF or action in _AT_ONCE):
            self._writer.fault(action.value, process.name, moment=action in _AT_ONCE)
        await self._driver.act(process.name, action)
        if action in _OVER:
            self._over(_OVER[action].value, process.name)
            self._undo_log.remove(UndoEntry(action.value, process.name))

    async def partition(self, a: str, b: str, *, one_way: bool = False) -> list[Partition]:
        """Cut two sides off. ``b`` may be ``*``: all others. Returns once the rules are in place."""
        status = await self._driver.status()
        source = targets.side(status, a, self.leaders)
        if b == "*":
            others = targets.all_others(status, source)
        else:
            others = [targets.side(status, b, self.leaders)]
        partitions = [Partition(source, other, one_way) for other in others]
        for partition in partitions:
            self._undo_log.add(_entry_of(partition))
            if self._writer:
                self._writer.fault("partition", _name_of(partition))
        await self._driver.partition(*partitions)
        return partitions

    async def heal(self, *these: Partition) -> list[Partition]:
        """Take away partitions that this experiment made: these, or all of them where none is named."""
        partitions = [*these] or [_partition_of(entry) for entry in self._undo_log.entries if entry.undo == HEAL]
        await self._heal(*partitions)
        return partitions

    async def _heal(self, *partitions: Partition) -> None:
        if partitions:  # heal() without arguments would heal the partitions of others, too
            await self._driver.heal(*partitions)
        for partition in partitions:
            self._over("partition", _name_of(partition))
            self._undo_log.remove(_entry_of(partition))

    async def undo(self) -> list[str]:
        """Start what was stopped, resume what was paused, heal what was cut: last done, first undone.

        The workload stays: see :func:`remove_workload`. Tries every step, then raises NotUndone with those that failed.
        """
        done: list[str] = []
        failed: list[str] = []
        remaining = reversed([entry for entry in self._undo_log.entries if entry.undo not in (NAMESPACE, TUNNEL)])
        for entries in [[*group] for _, group in groupby(remaining, key=_together)]:
            try:
                await self._undo_together(entries)
            except errors.NotFound:  # the process or node is no part of the cluster any more
                for entry in entries:
                    self._undo_log.remove(entry)
            except ApiError as err:
                failed += [f"{entry}: {err}" for entry in entries]
            else:
                done += map(str, entries)
        if failed:
            raise NotUndone("could not undo everything:\n  " + "\n  ".join(failed) + "\ntry: kubelab fault heal")
        return done

    async def _undo_together(self, entries: Sequence[UndoEntry]) -> None:
        entry = entries[0]
        if entry.undo == HEAL:
            await self._heal(*(_partition_of(entry) for entry in entries))
            return
        action = _UNDONE[entry.undo]
        await self._driver.act(entry.target, action)
        self._over(_OVER[action].value, entry.target)
        self._undo_log.remove(entry)

    def _over(self, what: str, target: str) -> None:
        if self._writer:
            self._writer.fault_over(what, target)


async def undo_all(driver: ClusterDriver, client: Client, undo_log: UndoLog) -> list[str]:
    """Undo everything that an undo log says; gives what was done. Raises NotUndone, ApiError."""
    return [*await Faults(driver, undo_log).undo(), *await remove_workload(driver, client, undo_log)]


async def remove_workload(driver: ClusterDriver, client: Client, undo_log: UndoLog) -> list[str]:
    """Close tunnels and delete namespaces that an undo log says; gives what was done. Raises ApiError."""
    from kubelab.chaos import workload

    done: list[str] = []
    for entry in [entry for entry in undo_log.entries if entry.undo == TUNNEL]:
        for tunnel in await driver.tunnels():
            if tunnel.address == entry.target:
                await driver.close_tunnel(tunnel.local_port)
        undo_log.remove(entry)
        done.append(str(entry))
    for entry in [entry for entry in undo_log.entries if entry.undo == NAMESPACE]:
        await workload.remove(client, entry.target)
        undo_log.remove(entry)
        done.append(str(entry))
    return done


def _entry_of(partition: Partition) -> UndoEntry:
    return UndoEntry(HEAL, partition.source, partition.target, partition.one_way)


def _partition_of(entry: UndoEntry) -> Partition:
    return Partition(entry.target, entry.other, entry.one_way)


def _together(entry: UndoEntry) -> object:
    """Partitions in a row are healed at once, anything else is undone by itself."""
    return HEAL if entry.undo == HEAL else entry


def _name_of(partition: Partition) -> str:
    return f"{partition.source} {'→' if partition.one_way else '↔'} {partition.target}"


def names(partitions: Sequence[Partition]) -> list[str]:
    """``node-1 ↔ node-2``, as people read it."""
    return [_name_of(partition) for partition in partitions]
