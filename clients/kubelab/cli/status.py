"""``kubelab status``: every process of a cluster. The exit code is 0 only when all of them are well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import click

from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.errors import Unavailable
from kubelab.apimachinery.timestamps import human_duration
from kubelab.cli import output
from kubelab.cli.options import cluster_option
from kubelab.cluster.driver import ClusterDriver, ClusterStatus, Process, State
from kubelab.cluster.find import using_cluster
from kubelab.cluster.record import DEFAULT_NAME

HEADER = ("NAME", "NODE", "PID", "SINCE", "RESTARTS", "HEALTH", "MEMORY")
HEALTH = {State.RUNNING: "Healthy"}  # a process that runs but is not well is Unhealthy; the rest go by their own names


@click.command("status", short_help="Show every process of a cluster")
@cluster_option
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("-w", "--watch", is_flag=True, help="print every process that changes, until interrupted")
def command(name: str, form: str, watch: bool) -> int:
    """Show every process of a cluster. The exit code is 0 when all of them are well, else 1."""
    return asyncio.run(_status(name, form, watch, SystemClock()))


async def _status(name: str, form: str, watch: bool, clock: Clock) -> int:
    async with using_cluster(name) as cluster:
        try:
            status = await cluster.status()
        except Unavailable as err:
            again = "kubelab up" + ("" if name == DEFAULT_NAME else f" --name {name}")
            raise Unavailable(f'cluster "{name}" is not running; start it with: {again}') from err
        click.echo(as_json(status) if form == "json" else as_table(status.processes, clock.time()))
        if watch:
            await _watch(cluster, status, form, clock)
    return 0 if all(process.state == State.RUNNING for process in status.processes) else 1


async def _watch(cluster: ClusterDriver, status: ClusterStatus, form: str, clock: Clock) -> None:
    """Print a line (or a document) for each process that has changed."""
    known = {process.name: _essence(process) for process in status.processes}
    memory = {process.name: process.memory_bytes for process in status.processes}
    async with aclosing(cluster.watch_status()) as answers:
        async for answer in answers:
            changed = [process for process in answer.processes if known.get(process.name) != _essence(process)]
            known = {process.name: _essence(process) for process in answer.processes}
            for found in changed:
                size = memory.get(found.name, 0) if found.pid else 0
                process = replace(found, memory_bytes=size)
                if form == "json":
                    click.echo(json.dumps(_process(process)))
                else:
                    click.echo(as_table([process], clock.time(), header=False))


def as_table(processes: Sequence[Process], now: float, *, header: bool = True) -> str:
    """Lay out processes; ``now`` is seconds since the epoch."""
    rows = [_row(process, now) for process in processes]
    wide = [("controller-manager@cp-1", "node-1", "1234567", "10m", "RESTARTS", "Unhealthy", "MEMORY")]
    if header:
        return output.table(HEADER, rows)
    return "\n".join(output.table(wide[0], rows).splitlines()[1:])


def _row(process: Process, now: float) -> tuple[str, ...]:
    return (
        process.name,
        process.node or "-",
        str(process.pid) if process.pid else "-",
        human_duration(now - process.since) if process.pid else "-",
        str(process.restarts),
        _health(process),
        output.mebibytes(process.memory_bytes),
    )


def _health(process: Process) -> str:
    return HEALTH.get(process.state, process.state.value)


def as_json(status: ClusterStatus) -> str:
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
    processes = [_process(process) for process in status.processes]
    return json.dumps({"cluster": status.cluster, "processes": processes, "nodes": nodes}, indent=2)


def _process(process: Process) -> dict[str, Any]:
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
    }


def _essence(process: Process) -> tuple[int, int, State]:
    return process.pid, process.restarts, process.state
