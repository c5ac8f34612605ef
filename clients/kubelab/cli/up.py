"""``kubelab up``: check the machine, start the supervisor, wait until every node is Ready, say what to type next.

When it fails it says why, and takes down what it started: a new cluster is removed, an older one keeps its data.
"""

from __future__ import annotations

import asyncio
import platform
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import click

from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.errors import ApiError, Unavailable
from kubelab.apimachinery.version import GIT_VERSION
from kubelab.cli import output, preflight, readiness
from kubelab.cli.options import cluster_option
from kubelab.client import kubeconfig
from kubelab.client.kubeconfig import Kubeconfig, KubeconfigMissing
from kubelab.cluster import launch
from kubelab.cluster.driver import State
from kubelab.cluster.local import LocalCluster
from kubelab.cluster.record import DEFAULT_NAME, Record, free_port, port_is_free

DEFAULT_NODES = 3
LOG_LINES = 12
STEPS = {
    "certificates": ("🔑", "Making certificates"),
    "network": ("🌐", "Connecting {nodes} by a network of their own"),
    "processes": ("🚀", "Starting etcd, the control plane and {nodes}"),
}


@dataclass(frozen=True)
class Wanted:
    """What the user asked for."""

    home: Path
    name: str
    nodes: int | None
    wait: bool
    seconds: float


@click.command("up", short_help="Start a cluster, or say that it runs")
@click.option("-n", "--nodes", type=int, help=f"how many nodes a new cluster gets  [default: {DEFAULT_NODES}]")
@cluster_option
@click.option("--wait/--no-wait", default=True, help="wait until every node is Ready  [default: wait]")
@click.option("--timeout", default=120.0, show_default=True, help="seconds to wait at most")
def command(nodes: int | None, name: str, wait: bool, timeout: float) -> int:
    """Start a cluster, or say that it runs."""
    home = kubeconfig.home().absolute()
    with launch.alone(home):
        return asyncio.run(up(Wanted(home, name, nodes, wait, timeout), SystemClock()))


async def up(wanted: Wanted, clock: Clock) -> int:
    """Bring the cluster up; gives the exit code."""
    began = clock.monotonic()
    record = Record.load(wanted.home, wanted.name)
    if record and wanted.nodes not in (None, len(record.node_names)):
        output.problem(
            f'Cluster "{record.name}" has {_count(record)}, not {wanted.nodes}. '
            f"Delete it first, or choose another --name:\n   kubelab down --delete{_flag(record)}"
        )
        return 1
    if record and await _runs(record):
        output.step("✅", f'Cluster "{record.name}" is already running')
        remember(record)
        return await _finish(wanted, record, clock, began, fresh=False)
    problems = preflight.check(preflight.this_machine())
    if problems:
        output.problem("This machine cannot run a cluster yet:")
        for problem in problems:
            click.echo(f" - {problem}", err=True)
        return 1
    fresh = record is None
    record = record or Record.new(wanted.home, wanted.name, wanted.nodes or DEFAULT_NODES)
    output.step("😄", f"kubelab {GIT_VERSION} on {_system()}")
    if not port_is_free(record.api_port):
        record = replace(record, api_port=free_port())
        output.step("🔀", f"The api-server's port was taken meanwhile; it moves to {record.api_port}")
    record.save()
    return await _finish(wanted, record, clock, began, fresh=fresh, start=True)


async def _finish(
    wanted: Wanted, record: Record, clock: Clock, began: float, *, fresh: bool, start: bool = False
) -> int:
    """Start if asked, wait, and speak; undo everything on failure."""
    try:
        if start:
            await _start(record)
            remember(record)
        if wanted.wait:
            async with clock.timeout(wanted.seconds):
                await readiness.wait(record, clock, output.step if start else _quietly)
    except (ApiError, readiness.UpFailed, launch.LaunchFailed, TimeoutError) as err:
        await _explain(record, err, wanted.seconds)
        if start:
            await _undo(record, delete=fresh)
        return 1
    except BaseException:
        if start:
            output.problem("Interrupted, cleaning up")
            await _undo(record, delete=fresh)
        raise
    seconds = f" in {clock.monotonic() - began:.1f} s" if start else ""
    output.step("🏄", f'Done{seconds}! kctl is now configured to use the cluster "{record.name}"')
    click.echo("\nTo see it, type:\n   kctl get nodes\n   kubelab status" + _flag(record))
    return 0


async def _start(record: Record) -> None:
    async with aclosing(launch.launch(record)) as steps:
        async for step in steps:
            emoji, text = STEPS.get(step, ("🔹", step))
            output.step(emoji, text.format(nodes=_count(record)))


def remember(record: Record) -> None:
    """Put the cluster into the user's kubeconfig, beside what is there, and make it the current one."""
    path = kubeconfig.default_path()
    try:
        config = Kubeconfig.load(path)
    except KubeconfigMissing:
        config = Kubeconfig(path=path)
    config.set_cluster(
        record.name,
        server=f"https://127.0.0.1:{record.api_port}",
        ca=(record.pki / "ca.crt").read_bytes(),
        certificate=(record.pki / "admin.crt").read_bytes(),
        key=(record.pki / "admin.key").read_bytes(),
    )
    config.write(path)


async def _runs(record: Record) -> bool:
    try:
        async with LocalCluster(record.name, record.socket) as cluster:
            await cluster.status()
    except Unavailable:
        return False
    return True


async def _explain(record: Record, err: Exception, seconds: float) -> None:
    """Say what failed, with the last lines of its log."""
    process = err.process if isinstance(err, readiness.UpFailed) else launch.SUPERVISOR
    text = str(err)
    if isinstance(err, TimeoutError):
        text, process = await _unwell(record, seconds)
    output.problem(text)
    lines = _last_lines(record.log(process))
    if lines:
        click.echo(f"   The last lines of {record.log(process)}:", err=True)
        for line in lines:
            click.echo(f"     {line}", err=True)


async def _unwell(record: Record, seconds: float) -> tuple[str, str]:
    """After a time-out: name the first process that is not well, in the order of their start."""
    try:
        async with LocalCluster(record.name, record.socket) as cluster:
            status = await cluster.status()
    except Unavailable:
        return f"Not up after {seconds:g} s: the supervisor does not answer", launch.SUPERVISOR
    for process in status.processes:
        if process.state != State.RUNNING:
            return f"Not up after {seconds:g} s: {process.name} is {process.state.value}", process.name
    first = next(node.name for node in status.nodes)
    return f"Not up after {seconds:g} s: every process is well, but not every node is Ready", f"kubelet@{first}"


def _last_lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except FileNotFoundError:
        return []


async def _undo(record: Record, *, delete: bool) -> None:
    """Take down what was begun; the data of a cluster that was there before stays."""
    from kubelab.cli.down import take_down

    await take_down(record, delete=delete)
    if delete:
        output.step("🧹", "Nothing of it is left")


def _quietly(_emoji: str, _text: str) -> None:
    """Say nothing: it runs already."""


def _count(record: Record) -> str:
    n = len(record.node_names)
    return f"{n} node{'s' if n != 1 else ''}"


def _flag(record: Record) -> str:
    return "" if record.name == DEFAULT_NAME else f" --name {record.name}"


def _system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        name = "Linux"
    return f"{name} ({platform.machine()})"
