"""``kubelab up``: check the machine, start the supervisor, wait until every node is Ready, say what to type next.

A failed start prints its reason and takes down what it started: a new cluster is removed, an older one keeps its data.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.errors import ApiError, Timeout, Unavailable
from kubelab.apimachinery.terminal import escaped
from kubelab.apimachinery.version import GIT_VERSION
from kubelab.cli import output, preflight, readiness
from kubelab.cli.options import cluster_option
from kubelab.client import kubeconfig
from kubelab.client.kubeconfig import KubeconfigError
from kubelab.client.loadingrules import LoadingRules
from kubelab.cluster import laststarted, launch
from kubelab.cluster.driver import ProcessState
from kubelab.cluster.local import LocalCluster
from kubelab.topology import lock
from kubelab.topology.record import DEFAULT_NAME, DEFAULT_WORKERS, Record, free_ports, port_is_free
from kubelab.topology.settings import changed, parse_settings

LOG_LINES = 12
LOOK_SECONDS = 0.1  # between two looks at a supervisor that does not answer yet
FAILURES = (ApiError, readiness.UpFailed, launch.LaunchFailed, TimeoutError)
STEPS = {
    "certificates": ("🔑", "Making certificates"),
    "network": ("🌐", "Connecting {nodes} by a network of their own"),
    "processes": ("🚀", "Starting etcd, the control plane and {nodes}"),
}


@dataclass(frozen=True)
class UpOptions:
    """The options of the command."""

    home: Path
    name: str
    nodes: int | None
    control_planes: int | None
    settings: Mapping[str, Mapping[str, Any]]
    wait: bool
    seconds: float


@click.command("up", short_help="Start a cluster, or report that it runs")
@click.option(
    "-n",
    "--nodes",
    type=int,
    help=f"how many nodes a new cluster gets, all in all  [default: {DEFAULT_WORKERS} besides the control planes]",
)
@click.option("--control-planes", type=int, help="how many of them are control planes: 1, 3 or 5  [default: 1]")
@click.option(
    "--set",
    "settings",
    metavar="COMPONENT.KEY=VALUE",
    multiple=True,
    help="configure a component of the cluster: --set controller-manager.nodeLifecycle.nodeMonitorGracePeriod=4s; "
    "without a VALUE it has its default again",
)
@cluster_option
@click.option("--wait/--no-wait", default=True, help="wait until every node is Ready  [default: wait]")
@click.option("--timeout", default=120.0, show_default=True, help="seconds to wait at most")
def command(
    nodes: int | None, control_planes: int | None, settings: Sequence[str], name: str, wait: bool, timeout: float
) -> int:
    """Start a cluster, or report that it runs."""
    home = kubeconfig.home().absolute()
    options = UpOptions(home, name, nodes, control_planes, parse_settings(settings), wait, timeout)
    with launch.home_locked(home):
        return asyncio.run(up(options, SystemClock()))


async def up(options: UpOptions, clock: Clock) -> int:
    """Bring the cluster up; gives the exit code."""
    began = clock.monotonic()
    record = Record.load(options.home, options.name)
    if record and (differs := _difference(options, record)):
        output.problem(
            f'Cluster "{record.name}" {differs}. '
            f"Delete it first, or choose another --name:\n   kubelab down --delete{_flag(record)}"
        )
        return 1
    rules = LoadingRules.of()
    context = rules.load_or_new().current_context  # a kubeconfig that cannot be read stops this before anything starts
    if record:
        try:
            async with clock.timeout(options.seconds):
                running = await _runs(record)
        except TimeoutError:
            output.problem(
                f"The supervisor (pid {lock.holder(record.run)}) does not answer within {options.seconds:g} s. "
                f"To stop the cluster without it, type:\n   kubelab down{_flag(record)}"
            )
            return 1
        if running:
            return await _join(options, record, rules, context, clock)
    problems = preflight.check(preflight.this_machine())
    if problems:
        output.problem("This machine cannot run a cluster yet:")
        for problem in problems:
            click.echo(f" - {problem}", err=True)
        return 1
    try:
        return await _begin(options, record, rules, context, clock, began)
    except launch.Busy:  # the old supervisor was just being replaced
        return await up(options, clock)


async def _runs(record: Record) -> bool:
    """Whether a supervisor runs the cluster. Waits for one that is slow or shutting down until it answers or ends.

    The lock decides, not the socket: on a busy machine the socket may not answer for a while.
    """
    while (pid := lock.holder(record.run)) is not None:
        try:
            async with LocalCluster(record.name, record.socket) as cluster:
                await cluster.status()
        except (Unavailable, Timeout):
            await launch.wait_ended(pid, LOOK_SECONDS)  # its end is an event; that it answers again is not
        else:
            return True
    return False


async def _join(options: UpOptions, record: Record, rules: LoadingRules, context: str, clock: Clock) -> int:
    """Make a running cluster the current one, and wait until it is healthy; a failure does not take it down."""
    if options.settings:
        output.problem(
            f'Cluster "{record.name}" is running; --set is for its next start. Type first:\n'
            f"   kubelab down{_flag(record)}"
        )
        return 1
    output.step("✅", f'Cluster "{record.name}" is already running')
    remember(record, rules)
    try:
        async with clock.timeout(options.seconds):
            if options.wait:
                await readiness.wait(record, clock, _quietly)
    except FAILURES as err:
        await _explain(record, err, options.seconds)
        return 1
    return _done(record, "", context)


async def _begin(
    options: UpOptions, before: Record | None, rules: LoadingRules, context: str, clock: Clock, began: float
) -> int:
    """Start a cluster, new or not, and wait for it; undo everything on failure. Raises Busy, with nothing changed."""
    record = before or Record.new(options.home, options.name, options.nodes, control_planes=options.control_planes or 1)
    output.step("😄", f"kubelab {GIT_VERSION} on {_system()}")
    planes = len(record.control_planes)
    if not all(map(port_is_free, record.all_api_ports)):
        ports = free_ports(2 * planes)
        record = replace(record, api_ports=ports[:planes], https_ports=ports[planes:])
        output.step("🔀", f"The api-server's port was taken meanwhile; it moves to {_ports(record)}")
    if not record.https_ports:  # made before there was a REST API
        record = replace(record, https_ports=free_ports(planes))
    record = replace(record, settings=changed(record.settings, options.settings))
    record.save()
    try:
        async with clock.timeout(options.seconds):
            await _start(record)
            remember(record, rules)
            if options.wait:
                await readiness.wait(record, clock, output.step)
    except launch.Busy:
        if before:
            before.save()
        raise
    except readiness.Faulted as err:  # the supervisor before had left it so
        output.problem(str(err))
        return 1
    except FAILURES as err:
        await _explain(record, err, options.seconds)
        await _undo(record, before, context)
        return 1
    except BaseException as err:
        interrupted = isinstance(err, (asyncio.CancelledError, KeyboardInterrupt))
        output.problem("Interrupted, cleaning up" if interrupted else "Cleaning up")
        await _undo(record, before, context)
        raise
    return _done(record, f" in {clock.monotonic() - began:.1f} s", context)


def _done(record: Record, seconds: str, context: str) -> int:
    laststarted.mark(record.home, record.name)
    output.step("🏄", f'Done{seconds}! kctl is now configured to use the cluster "{record.name}"')
    output.context_moved(context, record.name)
    lines = [*path_lines(Path(sys.argv[0]), Path.cwd(), os.environ), "kctl get nodes", f"kubelab status{_flag(record)}"]
    click.echo("\nTo see it, type:\n" + "\n".join(f"   {line}" for line in lines))
    return 0


def path_lines(program: Path, here: Path, environ: Mapping[str, str]) -> list[str]:
    """Say what to type so that the shell finds kctl and kubelab; nothing where it finds them.

    Below make the PATH is the Makefile's, not the one of the shell that make was typed in.
    """
    if "MAKELEVEL" not in environ and shutil.which("kctl", path=environ.get("PATH")):
        return []
    folder = program.absolute().parent
    activate = folder / "activate"
    if not activate.exists():
        return [f'export PATH="{folder}:$PATH"']
    near = activate.relative_to(here) if activate.is_relative_to(here) else activate
    return [f". {near}"]


async def _start(record: Record) -> None:
    async with aclosing(launch.launch(record)) as steps:
        async for step in steps:
            emoji, text = STEPS.get(step, ("🔹", step))
            output.step(emoji, text.format(nodes=_count(record)))


def remember(record: Record, rules: LoadingRules) -> None:
    """Add the cluster to the user's kubeconfig and make it the current one."""
    rules.set_cluster(
        record.name,
        server=record.servers,
        https=record.https_server,
        ca=(record.pki / "ca.crt").read_bytes(),
        certificate=(record.pki / "admin.crt").read_bytes(),
        key=(record.pki / "admin.key").read_bytes(),
    )


async def _explain(record: Record, err: Exception, seconds: float) -> None:
    """Say what failed, with the last lines of its log."""
    process = err.process if isinstance(err, readiness.UpFailed) else launch.SUPERVISOR
    text = str(err)
    if isinstance(err, TimeoutError):
        text, process = await _unwell(record, seconds)
    output.problem(text)
    if isinstance(err, readiness.Faulted):
        return
    lines = _last_lines(record.log(process))
    if lines and lines[-1] != text:
        click.echo(f"   The last lines of {record.log(process)}:", err=True)
        for line in lines:
            click.echo(f"     {escaped(line)}", err=True)


async def _unwell(record: Record, seconds: float) -> tuple[str, str]:
    """After a time-out: name the first unhealthy process, in the order of their start."""
    try:
        async with LocalCluster(record.name, record.socket) as cluster:
            status = await cluster.status()
    except (Unavailable, Timeout):
        return f"Not up after {seconds:g} s: the supervisor does not answer", launch.SUPERVISOR
    for process in status.processes:
        if process.state != ProcessState.RUNNING:
            return f"Not up after {seconds:g} s: {process.name} is {process.state.value}", process.name
    first = next(node.name for node in status.nodes)
    return f"Not up after {seconds:g} s: every process is healthy, but not every node is Ready", f"kubelet@{first}"


def _last_lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except FileNotFoundError:
        return []


async def _undo(record: Record, before: Record | None, context: str) -> None:
    """Take down what was begun. A cluster that was there before keeps its data, and the settings that it had."""
    from kubelab.cli.down import take_down

    if before:
        before.save()
    await take_down(record, delete=before is None)
    with contextlib.suppress(KubeconfigError):
        LoadingRules.of().use_context(context)
    if before is None:
        output.step("🧹", "Nothing of it is left")


def _quietly(_emoji: str, _text: str) -> None:
    """Say nothing: it runs already."""


def _difference(options: UpOptions, record: Record) -> str:
    """Say how an existing cluster differs from the options; empty when it does not."""
    if options.control_planes not in (None, planes := len(record.control_planes)):
        return f"has {planes} control plane{'s' if planes != 1 else ''}, not {options.control_planes}"
    if options.nodes not in (None, len(record.node_names)):
        return f"has {_count(record)}, not {options.nodes}"
    return ""


def _ports(record: Record) -> str:
    return ", ".join(map(str, record.api_ports))


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
