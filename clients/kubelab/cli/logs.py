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

EVERYBODY_LINES = 60  # as many as minikube prints of each


@click.command("logs", short_help="Print what a component wrote")
@click.argument("process", metavar="[COMPONENT[@NODE]]", default="")
@click.option("-f", "--follow", is_flag=True, help="go on until interrupted")
@click.option(
    "-n",
    "--tail",
    "--length",
    type=click.IntRange(min=0),
    help=f"only so many last lines, 0: all  [default: all of one component, else {EVERYBODY_LINES} of each]",
)
@cluster_option
def command(process: str, follow: bool, tail: int | None, name: str) -> int:
    """Print what a component wrote, or the last lines of every one. The node may be left out where only one runs it."""
    if process:
        return asyncio.run(_logs(process, follow, tail or 0, name))
    if follow:
        raise click.UsageError("name the component to follow: kubelab logs -f COMPONENT[@NODE]")
    return asyncio.run(_all_logs(EVERYBODY_LINES if tail is None else tail, name))


async def _logs(word: str, follow: bool, tail: int, name: str) -> int:
    async with using_cluster(name) as cluster:
        process = find((await cluster.status()).processes, word)
        async with aclosing(cluster.logs(process, follow=follow, tail=tail)) as chunks:
            async for chunk in chunks:
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
    return 0


async def _all_logs(tail: int, name: str) -> int:
    """Print the last lines of every process, each under its name as `tail` prints several files."""
    async with using_cluster(name) as cluster:
        for process in (await cluster.status()).processes:
            click.echo(f"==> {process.name} <==")
            async with aclosing(cluster.logs(process.name, tail=tail)) as chunks:
                async for chunk in chunks:
                    sys.stdout.buffer.write(chunk)
                    sys.stdout.buffer.flush()
            click.echo()
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
