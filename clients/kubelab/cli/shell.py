"""``kubelab shell [NODE] [-- COMMAND]``: a shell, or one command, in a node's network namespace."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence

import click

from kubelab.cli.options import cluster_option
from kubelab.cluster.driver import NodeInfo
from kubelab.cluster.find import using_cluster

SHELL = "/bin/sh"


@click.command("shell", short_help="Open a shell inside a node", context_settings={"ignore_unknown_options": True})
@cluster_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[NODE] [-- COMMAND...]")
def command(name: str, words: tuple[str, ...]) -> int:
    """Open a shell inside a node, the control plane by default: its interfaces, routes and rules are the node's.

    The exit code is the command's.
    """
    nodes = asyncio.run(_nodes(name))
    node, told = choose(nodes, words)
    environment = {**os.environ, "PS1": f"[{node.name}] \\w # "}
    shell = SHELL if node.enter else os.environ.get("SHELL") or SHELL  # a container has its own programs
    arguments = [*(node.enter or ("nsenter", f"--net={node.netns}", "--")), *(told or [shell])]
    try:
        ended = subprocess.run(arguments, env=environment, check=False)
    except FileNotFoundError as err:
        package = "util-linux" if arguments[0] == "nsenter" else "docker.io"
        raise click.ClickException(f"{arguments[0]} is missing; it belongs to the package {package}") from err
    return ended.returncode if ended.returncode >= 0 else 128 - ended.returncode


async def _nodes(name: str) -> Sequence[NodeInfo]:
    async with using_cluster(name) as cluster:
        return await cluster.nodes()


def choose(nodes: Sequence[NodeInfo], words: Sequence[str]) -> tuple[NodeInfo, list[str]]:
    """Tell node and command apart: a first word that names a node is the node."""
    if not words:
        return nodes[0], []
    found = next((node for node in nodes if node.name == words[0]), None)
    if found is not None:
        return found, [*words[1:]]
    return nodes[0], [*words]
