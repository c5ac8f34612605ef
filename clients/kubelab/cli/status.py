"""``kubelab status``: every process of a cluster. The exit code is 0 only when all of them are healthy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any

import click

from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.terminal import escaped
from kubelab.apimachinery.timestamps import human_duration
from kubelab.cli import leadership, output
from kubelab.cli.options import cluster_option
from kubelab.client.client import Client
from kubelab.cluster.driver import ClusterDriver, ClusterStatus, Process, ProcessState
from kubelab.cluster.find import using_cluster

HEADER = ("NAME", "NODE", "PID", "SINCE", "RESTARTS", "HEALTH", "MEMORY")
TELLING = (
    ProcessState.BACK_OFF,
    ProcessState.UNHEALTHY,
)  # the states in which a process's message is shown below the table
HEALTH = {
    ProcessState.RUNNING: "Healthy"
}  # a running process whose health check fails is Unhealthy; other states have their own names


@click.command("status", short_help="Show every process of a cluster")
@cluster_option
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("-w", "--watch", is_flag=True, help="print every process that changes, until interrupted")
def command(name: str, form: str, watch: bool) -> int:
    """Show every process of a cluster. The exit code is 0 when all of them are healthy, else 1."""
    return asyncio.run(_status(name, form, watch, SystemClock()))


async def _status(name: str, form: str, watch: bool, clock: Clock) -> int:
    async with using_cluster(name) as cluster:
        status = await cluster.status()
        async with AsyncExitStack() as stack:
            view = View(form, clock, show_roles=leadership.several(status.processes))
            client = None
            if view.show_roles:
                client = await stack.enter_async_context(leadership.client(cluster, clock))
                view.holders = await leadership.holders(client)
            view.show_all(status)
            if watch:
                await _watch(cluster, client, view)
    return 0 if all(process.state == ProcessState.RUNNING for process in status.processes) else 1


async def _watch(cluster: ClusterDriver, client: Client | None, view: View) -> None:
    """Print a line (or a document) for each process that has changed, or has begun or ceased to lead.

    ``client`` reads the Leases; None where there is nothing to lead.
    """

    async def processes() -> None:
        async with aclosing(cluster.watch_status()) as answers:
            async for answer in answers:
                view.heard_processes(answer)

    async with asyncio.TaskGroup() as group:
        leases = group.create_task(leadership.follow(client, view.heard_holders)) if client else None
        await processes()
        if leases:
            leases.cancel()


class View:
    """The printed rows, so that only changed ones are printed again."""

    def __init__(self, form: str, clock: Clock, *, show_roles: bool) -> None:
        self.form, self.show_roles = form, show_roles
        self.holders: frozenset[str] = frozenset()
        self._clock = clock
        self._printed: dict[str, tuple[object, ...]] = {}
        self._memory: dict[str, int] = {}
        self._processes: Sequence[Process] = ()

    def show_all(self, status: ClusterStatus) -> None:
        """Print everything."""
        self._processes = status.processes
        self._printed = {process.name: self._essence(process) for process in status.processes}
        self._memory = {process.name: process.memory_bytes for process in status.processes}
        if self.form == "json":
            click.echo(as_json(status, self.holders))
        else:
            click.echo(as_table(status.processes, self._clock.time(), self._roles()))
            for process in status.processes:
                if process.message and process.state in TELLING:
                    click.echo(f"{process.name}: {escaped(process.message)}")

    def heard_processes(self, status: ClusterStatus) -> None:
        """Take the processes as they are now."""
        self._processes = status.processes
        self._print_changes()

    def heard_holders(self, holders: frozenset[str]) -> None:
        """Set the current holders of Leases."""
        self.holders = holders
        self._print_changes()

    def _print_changes(self) -> None:
        before, self._printed = self._printed, {process.name: self._essence(process) for process in self._processes}
        for row in self._processes:
            if before.get(row.name) == self._printed[row.name]:
                continue
            process = replace(row, memory_bytes=self._memory.get(row.name, 0) if row.pid else 0)
            if self.form == "json":
                click.echo(json.dumps(_process(process, self.holders)))
            else:
                click.echo(as_table([process], self._clock.time(), self._roles(), header=False))

    def _roles(self) -> frozenset[str] | None:
        return self.holders if self.show_roles else None

    def _essence(self, process: Process) -> tuple[object, ...]:
        return process.pid, process.restarts, process.state, leadership.role(process, self.holders)


def as_table(
    processes: Sequence[Process], now: float, holders: frozenset[str] | None = None, *, header: bool = True
) -> str:
    """Lay out processes; ``now`` is seconds since the epoch. Who leads is shown where ``holders`` are given."""
    rows = [_row(process, now, holders) for process in processes]
    if header:
        return output.table(HEADER if holders is None else (*HEADER, "ROLE"), rows)
    wide = ("controller-manager@cp-1", "node-1", "1234567", "10m", "RESTARTS", "Unhealthy", "MEMORY")
    return "\n".join(output.table(wide if holders is None else (*wide, "follower"), rows).splitlines()[1:])


def _row(process: Process, now: float, holders: frozenset[str] | None) -> tuple[str, ...]:
    row = (
        process.name,
        process.node or "-",
        str(process.pid) if process.pid else "-",
        human_duration(now - process.since) if process.pid else "-",
        str(process.restarts),
        _health(process),
        output.mebibytes(process.memory_bytes),
    )
    return row if holders is None else (*row, leadership.role(process, holders))


def _health(process: Process) -> str:
    return HEALTH.get(process.state, process.state.value)


def as_json(status: ClusterStatus, holders: frozenset[str] = frozenset()) -> str:
    """The same for programs."""
    nodes = [
        {
            "name": node.name,
            "address": node.address,
            "controlPlane": node.control_plane,
            "netns": str(node.netns),
            "runtimeSocket": str(node.runtime_socket),
        }
        for node in status.nodes
    ]
    processes = [_process(process, holders) for process in status.processes]
    return json.dumps({"cluster": status.cluster, "processes": processes, "nodes": nodes}, indent=2)


def _process(process: Process, holders: frozenset[str]) -> dict[str, Any]:
    return {
        "name": process.name,
        "component": process.component,
        "node": process.node,
        "pid": process.pid,
        "since": process.since,
        "restarts": process.restarts,
        "health": _health(process),
        "message": process.message,
        "memoryBytes": process.memory_bytes,
        "cpuSeconds": process.cpu_seconds,
        "leader": leadership.role(process, holders) == "leader",
    }
