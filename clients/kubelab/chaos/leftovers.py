"""Undo the faults that a killed experiment has left. Does not import Chaos Toolkit."""

from __future__ import annotations

from kubelab.chaos import faults, undolog
from kubelab.client.client import Client
from kubelab.cluster.find import using_cluster

CALLER = "kubelab-chaos"


async def undo_leftovers(cluster: str) -> list[str]:
    """Undo it, and give what was done: nothing when nothing was left.

    Raises UndoLogBusy while an experiment is under way, NotUndone, ApiError.
    """
    path = undolog.path_of(cluster)
    if not undolog.read(path)[0].entries:
        return []
    with undolog.locked(path) as undo_log:
        async with (
            using_cluster(cluster, caller=CALLER) as driver,
            Client.from_kubeconfig(driver.kubeconfig, caller=CALLER, context=driver.name) as client,
        ):
            return await faults.undo_all(driver, client, undo_log)
