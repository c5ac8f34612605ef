"""``kubelab ip``, ``kubelab node`` and ``kubelab ssh``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from kubelab.apimachinery.errors import NotFound
from kubelab.apimachinery.terminal import escaped
from kubelab.cli import output
from kubelab.cli import shell as shell_module
from kubelab.cli.options import cluster_option
from kubelab.cluster.clusterprocesses import action_order, own_processes
from kubelab.cluster.driver import Action, ClusterNode
from kubelab.cluster.find import using_cluster


@click.command("ip", short_help="Print a node's address")
@click.option("-n", "--node", default="", help="the node  [default: the first control plane]")
@cluster_option
def ip(node: str, name: str) -> int:
    """Print a node's address, by which pods and other nodes reach it. This machine reaches it by tunnels only."""
    click.echo(_named(asyncio.run(_nodes(name)), node).address)
    return 0


@click.group("node", short_help="List, stop and start nodes", no_args_is_help=True)
def node() -> None:
    """List, stop and start nodes."""


@node.command("list")
@cluster_option
def list_nodes(name: str) -> int:
    """List the nodes and their addresses."""
    for one in asyncio.run(_nodes(name)):
        click.echo(f"{escaped(one.name)}\t{escaped(one.address)}")
    return 0


@node.command("stop")
@click.argument("node", required=True)
@cluster_option
def stop_node(node: str, name: str) -> int:
    """Stop every process of a node, and keep them down. This is `kubelab fault stop --node`."""
    output.step("✋", f'Stopping node "{node}"  ...')
    return asyncio.run(_act(name, node, Action.STOP, "is stopped"))


@node.command("start")
@click.argument("node", required=True)
@cluster_option
def start_node(node: str, name: str) -> int:
    """Start what was stopped of a node. This is `kubelab fault start --node`."""
    return asyncio.run(_act(name, node, Action.START, "is started"))


def _fixed() -> int:
    output.problem(
        "The nodes of a cluster are fixed when it is made. Make another one: kubelab up --name OTHER --nodes N"
    )
    return 1


@node.command("add", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def add_node(words: tuple[str, ...]) -> int:
    """Say how a cluster gets more nodes."""
    return _fixed()


@node.command("delete", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def delete_node(words: tuple[str, ...]) -> int:
    """Say how a cluster gets fewer nodes."""
    return _fixed()


@click.command("ssh", short_help="Open a shell inside a node", context_settings={"ignore_unknown_options": True})
@click.option("-n", "--node", default="", help="the node  [default: the first control plane]")
@cluster_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
def ssh(node: str, name: str, words: tuple[str, ...]) -> int:
    """Open a shell inside a node, or run a command there. This is `kubelab shell`."""
    chosen = _named(asyncio.run(_nodes(name)), node)
    return shell_module.enter(chosen, list(words))


async def _nodes(name: str) -> Sequence[ClusterNode]:
    async with using_cluster(name) as cluster:
        return await cluster.nodes()


def _named(nodes: Sequence[ClusterNode], name: str) -> ClusterNode:
    """Find a node; the first one where no name is given. NotFound."""
    found = next((one for one in nodes if name in ("", one.name)), None)
    if found is None:
        raise NotFound(f'node "{name}" not found; there are: {", ".join(one.name for one in nodes)}')
    return found


async def _act(name: str, node: str, action: Action, done: str) -> int:
    async with using_cluster(name) as cluster:
        _named(await cluster.nodes(), node)
        processes = [process for process in own_processes(await cluster.status()) if process.node == node]
        for process in action_order(processes, action):
            await cluster.act(process.name, action)
    output.step("🛑" if action is Action.STOP else "🏄", f"Node {node} {done}.")
    return 0
