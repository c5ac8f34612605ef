"""``kubelab down``: stop a cluster; with ``--delete`` remove it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
from click.core import ParameterSource

from kubelab.apimachinery.errors import Timeout, Unavailable
from kubelab.cli import output
from kubelab.cli.options import cluster_option
from kubelab.client import kubeconfig
from kubelab.client.loadingrules import LoadingRules
from kubelab.cluster import laststarted, launch
from kubelab.cluster.local import LocalCluster
from kubelab.topology import lock
from kubelab.topology.record import DEFAULT_NAME, Record

END_SECONDS = 10.0


@click.command("down", short_help="Stop a cluster; its objects are kept")
@cluster_option
@click.option("--delete", is_flag=True, help="remove its objects, images and files as well")
@click.option("-y", "--yes", is_flag=True, help="delete without a question")
@click.pass_context
def command(ctx: click.Context, name: str, delete: bool, yes: bool) -> int:
    """Stop a cluster. Its objects are kept: after the next up, the same pods run again."""
    home = kubeconfig.home().absolute()
    named = ctx.get_parameter_source("name") is not ParameterSource.DEFAULT
    if delete and not named and not yes and not _confirmed(home, name):
        return 1
    with launch.home_locked(home):
        record = Record.load(home, name)
        if record is None:
            output.step("🤷", f'There is no cluster "{name}"')
            return 0
        output.step("✋", f'Stopping cluster "{name}"')
        asyncio.run(take_down(record, delete=delete))
    if delete:
        output.step("🗑️ ", f'Cluster "{name}" and everything of it is removed')
    else:
        again = "kubelab up" + ("" if name == DEFAULT_NAME else f" --name {name}")
        output.step("🛑", f'Cluster "{name}" is stopped; its objects are kept for: {again}')
    return 0


def _confirmed(home: Path, name: str) -> bool:
    """Ask before --delete without --name deletes another cluster than the one that was started last."""
    last = laststarted.last(home)
    if not last or last == name or Record.load(home, name) is None:
        return True
    warning = f'The current context is cluster "{name}", but the last one that was started here is "{last}".'
    if not sys.stdin.isatty():
        output.problem(f"{warning}\n   Nothing is deleted. Name the one you mean: kubelab down --delete --name {name}")
        return False
    click.echo(warning)
    return click.confirm(f'Delete cluster "{name}" and everything of it?')


async def take_down(record: Record, *, delete: bool) -> None:
    """Stop a cluster, by its supervisor or without it, and forget it in the kubeconfig when it is deleted."""
    pid = lock.holder(record.run)
    try:
        async with LocalCluster(record.name, record.socket) as cluster:
            await cluster.status()  # a supervisor that hangs fails here, not minutes later in the shutdown
            await cluster.shutdown(delete=delete)
    except (Unavailable, Timeout):
        pass  # it is gone, ends already, or hangs: the record on disk lists what to clean
    ended = pid and await launch.wait_ended(pid, END_SECONDS)
    if not ended or record.run.exists() or (delete and record.folder.exists()):
        await launch.clean(record, delete=delete)
    if delete:
        LoadingRules.of().remove_cluster(record.name)
        laststarted.forget(record.home, record.name)
