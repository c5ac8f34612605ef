"""``kubelab shell [NODE] [-- COMMAND]``: a shell, or one command, in a node's network namespace."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence

import click

from kubelab.apimachinery.errors import NotFound
from kubelab.cli.options import cluster_option
from kubelab.cluster.driver import ClusterNode
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
    return enter(*choose(nodes, words, is_program=_is_program))


def enter(node: ClusterNode, arguments: Sequence[str]) -> int:
    """Run a command in a node, a shell where it is empty; gives its exit code."""
    environment = {**os.environ, "PS1": f"[{node.name}] \\w # "}
    shell = SHELL if node.enter else os.environ.get("SHELL") or SHELL  # a container has its own programs
    arguments = [*(node.enter or ("nsenter", f"--net={node.netns}", "--")), *(arguments or [shell])]
    try:
        ended = subprocess.run(arguments, env=environment, check=False)
    except FileNotFoundError as err:
        package = "util-linux" if arguments[0] == "nsenter" else "docker.io"
        raise click.ClickException(f"{arguments[0]} is missing; it belongs to the package {package}") from err
    return ended.returncode if ended.returncode >= 0 else 128 - ended.returncode


async def _nodes(name: str) -> Sequence[ClusterNode]:
    async with using_cluster(name) as cluster:
        return await cluster.nodes()


def _is_program(node: ClusterNode, word: str) -> bool:
    """Say whether a node may have this program. A container has programs of its own, which are not checked."""
    return bool(node.enter) or shutil.which(word) is not None


def choose(
    nodes: Sequence[ClusterNode], words: Sequence[str], *, is_program: Callable[[ClusterNode, str], bool]
) -> tuple[ClusterNode, list[str]]:
    """Split node and command: a first word that names a node is the node.

    NotFound for a single word that is neither a node nor a program: a node is what was meant.
    """
    if not words:
        return nodes[0], []
    chosen = next((node for node in nodes if node.name == words[0]), None)
    if chosen is not None:
        return chosen, [*words[1:]]
    if len(words) == 1 and not is_program(nodes[0], words[0]):
        raise NotFound(f'node "{words[0]}" not found; there are: {", ".join(node.name for node in nodes)}')
    return nodes[0], [*words]
