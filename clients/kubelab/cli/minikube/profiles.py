"""``kubelab profile``, ``update-context`` and ``config``: the clusters of this home, and their settings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

import click

from kubelab.apimachinery.errors import ApiError, NotFound
from kubelab.apimachinery.version import GIT_VERSION
from kubelab.cli import output
from kubelab.cli.options import cluster_option
from kubelab.cli.service import table
from kubelab.cli.up import remember
from kubelab.client import kubeconfig
from kubelab.client.loadingrules import LoadingRules
from kubelab.cluster.driver import ProcessState
from kubelab.cluster.find import default_name, find_cluster
from kubelab.topology.record import Record, names

HEADER = (
    *("Profile", "Driver", "Runtime", "IP", "Port", "Version", "Status", "Nodes"),
    *("Active Profile", "Active Kubecontext"),
)


@dataclass(frozen=True, slots=True)
class Profile:
    """One cluster as `profile list` shows it. ``nodes`` is 0 where the cluster does not answer."""

    name: str
    driver: str
    ip: str
    port: int
    status: str
    nodes: int
    active: bool
    current: bool  # in the kubeconfig


@click.command("profile", short_help="Show the clusters, or make one the current one")
@click.argument("words", nargs=-1, metavar="[list | NAME]")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def profile(words: tuple[str, ...], form: str) -> int:
    """Name the current cluster, list all of them, or make one the current one."""
    match words:
        case ():
            click.echo(default_name())
        case ("list",):
            return _list(form)
        case (name,):
            return _switch(name)
        case _:
            raise click.UsageError("usage: kubelab profile [list | NAME]")
    return 0


def _list(form: str) -> int:
    home = kubeconfig.home().absolute()
    profiles = asyncio.run(_profiles(names(home)))
    if form == "json":
        valid = [{"Name": p.name, "Status": p.status, "Active": p.active, "Nodes": p.nodes} for p in profiles]
        click.echo(json.dumps({"invalid": [], "valid": valid}))
        return 0
    if not profiles:
        output.problem("No kubelab profile was found. You can create one using `kubelab start`.")
        return 1
    click.echo(table([_row(one) for one in profiles], HEADER))
    return 0


def _row(one: Profile) -> tuple[str, ...]:
    port, nodes = str(one.port or ""), str(one.nodes)
    marks = ("*" if one.active else "", "*" if one.current else "")
    return one.name, one.driver, "kubelab", one.ip, port, GIT_VERSION, one.status, nodes, *marks


async def _profiles(clusters: Sequence[str]) -> list[Profile]:
    active, current = default_name(), LoadingRules.of().load_or_new().current_context
    return [await _profile(name, active=name == active, current=name == current) for name in clusters]


async def _profile(name: str, *, active: bool, current: bool) -> Profile:
    cluster = find_cluster(name)
    try:
        status = await cluster.status()
    except ApiError:
        return Profile(name, _driver(name), "", 0, "Stopped", _node_count(name), active, current)
    finally:
        await cluster.close()
    healthy = all(process.state is ProcessState.RUNNING for process in status.processes)
    first = status.nodes[0].address if status.nodes else ""
    state = "OK" if healthy else "Degraded"
    return Profile(name, _driver(name), first, 8443, state, len(status.nodes), active, current)


def _driver(name: str) -> str:
    from kubelab.cluster.composerecord import ComposeRecord

    return "compose" if ComposeRecord.load(kubeconfig.home().absolute(), name) else "local"


def _node_count(name: str) -> int:
    if _driver(name) == "compose":
        return 0
    record = Record.load(kubeconfig.home().absolute(), name)
    return len(record.node_names) if record else 0


def _switch(name: str) -> int:
    if name not in names(kubeconfig.home().absolute()):
        raise NotFound(f'cluster "{name}" not found; start it with: kubelab start --name {name}')
    LoadingRules.of().use_context(name)
    output.step("✅", f"kubelab profile was successfully set to {name}")
    return 0


@click.command("update-context", short_help="Put a cluster into the kubeconfig again")
@cluster_option
def update_context(name: str) -> int:
    """Put a cluster into the kubeconfig again, and make it the current one."""
    record = Record.load(kubeconfig.home().absolute(), name)
    if record is None:
        raise NotFound(f'cluster "{name}" not found; start it with: kubelab start --name {name}')
    remember(record, LoadingRules.of())
    output.step("🎉", f'"{name}" context has been updated to point to {record.servers.removeprefix("https://")}')
    output.step("💗", f'Current context is "{name}"')
    return 0


@click.command("config", short_help="Show what a cluster's components were given by --set")
@click.argument("words", nargs=-1, metavar="view")
@cluster_option
def config(words: tuple[str, ...], name: str) -> int:
    """Show what a cluster's components were given by `kubelab up --set`."""
    if words not in ((), ("view",)):
        output.problem(
            "A cluster is configured when it starts: kubelab up --set COMPONENT.KEY=VALUE, until --set COMPONENT.KEY= "
            "gives it its default again. For kubectl's own configuration: kctl config"
        )
        return 1
    record = Record.load(kubeconfig.home().absolute(), name)
    if record is None:
        raise NotFound(f'cluster "{name}" not found; start it with: kubelab start --name {name}')
    for component, settings in sorted(record.settings.items()):
        for key, value in sorted(settings.items()):
            click.echo(f"- {component}.{key}: {value}")
    return 0
