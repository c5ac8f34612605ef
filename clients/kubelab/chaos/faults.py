"""Do something to a cluster and undo it: every action goes into the ledger first, and onto the recording.

Serial: one experiment acts at a time (it holds the ledger's lock). Undoing goes backwards, goes on after a step that
failed, and says at the end what it could not undo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from kubelab.apimachinery import errors
from kubelab.apimachinery.errors import ApiError
from kubelab.chaos import targets
from kubelab.chaos.ledger import HEAL, NAMESPACE, RESUME, START, TUNNEL, Debt, Ledger
from kubelab.chaos.recording import Tape
from kubelab.client.client import Client
from kubelab.cluster.driver import Action, ClusterDriver, Process, State
from kubelab.cluster.members import in_order
from kubelab.topology.partitions import Partition

_DEBTS = {Action.STOP: START, Action.PAUSE: RESUME}
_UNDONE = {START: Action.START, RESUME: Action.RESUME}
_OVER = {Action.START: Action.STOP, Action.RESUME: Action.PAUSE}  # what ends which fault
_AT_ONCE = (Action.KILL, Action.RESTART)


class NotUndone(Exception):
    """Some of an experiment's actions could not be undone; the message names them and what to type."""


class Faults:
    """Acts on one cluster. ``tape`` is None where nothing is recorded."""

    def __init__(self, driver: ClusterDriver, ledger: Ledger, tape: Tape | None = None) -> None:
        self._driver, self._ledger, self._tape = driver, ledger, tape
        self.leaders: Mapping[str, str] = {}  # role → process, as the recorder sees it

    async def act(self, action: Action, word: str) -> list[str]:
        """Do it to every process that a word means, and give their names. NotFound for a word that means nothing."""
        status = await self._driver.status()
        found = in_order(targets.processes(status, word, self.leaders), action)
        for process in found:
            await self._act(action, process)
        return [process.name for process in found]

    async def _act(self, action: Action, process: Process) -> None:
        if action in _DEBTS:
            if process.state in (State.STOPPED, State.PAUSED):
                raise errors.Conflict(f"{process.name} is {process.state.value} already: nothing to {action.value}")
            self._ledger.owe(Debt(_DEBTS[action], process.name))
        if self._tape and (action in _DEBTS or action in _AT_ONCE):
            self._tape.fault(action.value, process.name, moment=action in _AT_ONCE)
        await self._driver.act(process.name, action)
        if action in _OVER:
            self._over(_OVER[action].value, process.name)
            self._ledger.paid(Debt(action.value, process.name))

    async def partition(self, a: str, b: str, *, one_way: bool = False) -> list[Partition]:
        """Cut two sides off. ``b`` may be ``*``: everybody else. Answers once the rules are in place."""
        status = await self._driver.status()
        source = targets.side(status, a, self.leaders)
        if b == "*":
            others = targets.all_others(status, source)
        else:
            others = [targets.side(status, b, self.leaders)]
        made = [Partition(source, other, one_way) for other in others]
        for partition in made:
            self._ledger.owe(_debt_of(partition))
            if self._tape:
                self._tape.fault("partition", _name_of(partition))
        await self._driver.partition(*made)
        return made

    async def heal(self, *these: Partition) -> list[Partition]:
        """Take away partitions that this experiment made: these, or all of them where none is named."""
        made = [*these] or [_partition_of(debt) for debt in self._ledger.debts if debt.undo == HEAL]
        await self._heal(*made)
        return made

    async def _heal(self, *made: Partition) -> None:
        if made:  # nobody named would be everybody's
            await self._driver.heal(*made)
        for partition in made:
            self._over("partition", _name_of(partition))
            self._ledger.paid(_debt_of(partition))

    async def undo(self) -> list[str]:
        """Start what was stopped, resume what was paused, heal what was cut: last done, first undone.

        What was made stays: see :func:`clear_away`. Raises NotUndone with everything that stayed, after trying all.
        """
        done: list[str] = []
        failed: list[str] = []
        owed = reversed([debt for debt in self._ledger.debts if debt.undo not in (NAMESPACE, TUNNEL)])
        for debts in [[*group] for _, group in groupby(owed, key=_together)]:
            try:
                await self._pay(debts)
            except errors.NotFound:  # the process or node is no part of the cluster any more
                for debt in debts:
                    self._ledger.paid(debt)
            except ApiError as err:
                failed += [f"{debt}: {err}" for debt in debts]
            else:
                done += map(str, debts)
        if failed:
            raise NotUndone("could not undo everything:\n  " + "\n  ".join(failed) + "\ntry: kubelab fault heal")
        return done

    async def _pay(self, debts: Sequence[Debt]) -> None:
        debt = debts[0]
        if debt.undo == HEAL:
            await self._heal(*(_partition_of(debt) for debt in debts))
            return
        action = _UNDONE[debt.undo]
        await self._driver.act(debt.target, action)
        self._over(_OVER[action].value, debt.target)
        self._ledger.paid(debt)

    def _over(self, what: str, target: str) -> None:
        if self._tape:
            self._tape.fault_over(what, target)


async def settle(driver: ClusterDriver, client: Client, ledger: Ledger) -> list[str]:
    """Undo everything that a ledger says; gives what was done. Raises NotUndone, ApiError."""
    return [*await Faults(driver, ledger).undo(), *await clear_away(driver, client, ledger)]


async def clear_away(driver: ClusterDriver, client: Client, ledger: Ledger) -> list[str]:
    """Close tunnels and delete namespaces that a ledger says; gives what was done. Raises ApiError."""
    from kubelab.chaos import workload

    done: list[str] = []
    for debt in [debt for debt in ledger.debts if debt.undo == TUNNEL]:
        for tunnel in await driver.tunnels():
            if tunnel.address == debt.target:
                await driver.close_tunnel(tunnel.local_port)
        ledger.paid(debt)
        done.append(str(debt))
    for debt in [debt for debt in ledger.debts if debt.undo == NAMESPACE]:
        await workload.remove(client, debt.target)
        ledger.paid(debt)
        done.append(str(debt))
    return done


def _debt_of(partition: Partition) -> Debt:
    return Debt(HEAL, partition.source, partition.target, partition.one_way)


def _partition_of(debt: Debt) -> Partition:
    return Partition(debt.target, debt.other, debt.one_way)


def _together(debt: Debt) -> object:
    """Partitions in a row are healed at once, anything else is undone by itself."""
    return HEAL if debt.undo == HEAL else debt


def _name_of(partition: Partition) -> str:
    return f"{partition.source} {'→' if partition.one_way else '↔'} {partition.target}"


def names(partitions: Sequence[Partition]) -> list[str]:
    """``node-1 ↔ node-2``, as people read it."""
    return [_name_of(partition) for partition in partitions]
