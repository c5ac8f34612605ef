"""``kubelab down``: stop a cluster; with ``--delete`` remove it."""

from __future__ import annotations

import asyncio

import click

from kubelab.apimachinery.errors import Timeout, Unavailable
from kubelab.cli import output
from kubelab.cli.options import cluster_option
from kubelab.client import kubeconfig
from kubelab.client.kubeconfig import Kubeconfig, KubeconfigMissing
from kubelab.cluster import launch, lock
from kubelab.cluster.local import LocalCluster
from kubelab.cluster.record import DEFAULT_NAME, Record

END_SECONDS = 10.0


@click.command("down", short_help="Stop a cluster; its objects are kept")
@cluster_option
@click.option("--delete", is_flag=True, help="remove its objects, images and files as well")
def command(name: str, delete: bool) -> int:
    """Stop a cluster. Its objects are kept: after the next up, the same pods run again."""
    home = kubeconfig.home().absolute()
    with launch.alone(home):
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


async def take_down(record: Record, *, delete: bool) -> None:
    """Stop a cluster, by its supervisor or without it, and forget it in the kubeconfig when it is deleted."""
    pid = lock.holder(record.run)
    try:
        async with LocalCluster(record.name, record.socket) as cluster:
            await cluster.status()  # one that hangs shows it now, not after the minutes that a shutdown may take
            await cluster.shutdown(delete=delete)
    except (Unavailable, Timeout):
        pass  # nobody there, or going down already, or hanging: the disk knows what there is to clean
    ended = pid and await launch.ended(pid, END_SECONDS)
    if not ended or record.run.exists() or (delete and record.folder.exists()):
        await launch.clean(record, delete=delete)
    if delete:
        _forget(record)


def _forget(record: Record) -> None:
    path = kubeconfig.default_path()
    try:
        config = Kubeconfig.load(path)
    except KubeconfigMissing:
        return
    if record.name not in {row.name for row in config.contexts()}:
        return
    config.remove_cluster(record.name)
    if config.contexts():
        config.write(path)
    else:
        path.unlink()
