"""``kubelab logs COMPONENT[@NODE]``: what a process of the cluster wrote."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing

import click

from kubelab.cli.options import cluster_option
from kubelab.cluster.driver import Process
from kubelab.cluster.find import using_cluster


@click.command("logs", short_help="Print what a component wrote")
@click.argument("process", metavar="COMPONENT[@NODE]")
@click.option("-f", "--follow", is_flag=True, help="go on until interrupted")
@click.option("--tail", type=click.IntRange(min=0), default=0, help="only so many last lines; 0: all")
@cluster_option
def command(process: str, follow: bool, tail: int, name: str) -> int:
    """Print what a component wrote. The node may be left out where only one runs it."""
    return asyncio.run(_logs(process, follow, tail, name))


async def _logs(word: str, follow: bool, tail: int, name: str) -> int:
    async with using_cluster(name) as cluster:
        process = find((await cluster.status()).processes, word)
        async with aclosing(cluster.logs(process, follow=follow, tail=tail)) as chunks:
            async for chunk in chunks:
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
    return 0


def find(processes: Sequence[Process], word: str) -> str:
    """Give the full name of a process. Raises UsageError that names what there is."""
    names = [process.name for process in processes]
    if word in names:
        return word
    meant = [process.name for process in processes if word in (process.component, process.component.replace("-", ""))]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise click.UsageError(f'"{word}" runs on several nodes, name one: {", ".join(meant)}')
    raise click.UsageError(f'no process "{word}"; there are: {", ".join(names)}')
