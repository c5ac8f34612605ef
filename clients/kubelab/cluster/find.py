"""Find a cluster by its name, local or of docker compose."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from kubelab.client import kubeconfig
from kubelab.client.kubeconfig import KubeconfigError
from kubelab.client.loadingrules import LoadingRules
from kubelab.cluster.composerecord import ComposeRecord
from kubelab.cluster.driver import ClusterDriver
from kubelab.cluster.local import LocalCluster
from kubelab.topology.record import DEFAULT_NAME, names


def find_cluster(name: str, *, folder: Path | None = None, caller: str = "kubelab") -> ClusterDriver:
    """Give the driver of a cluster, by its record on disk; close it. Nothing is asked of the cluster yet.

    Raises NotFound when there is none, RecordError for a broken record.
    """
    compose = ComposeRecord.load(folder or kubeconfig.home(), name)
    if compose is not None:
        from kubelab.cluster.compose import ComposeCluster

        return ComposeCluster(compose, caller=caller)
    return LocalCluster.find(name, folder=folder, caller=caller)


@asynccontextmanager
async def using_cluster(name: str, *, caller: str = "kubelab") -> AsyncGenerator[ClusterDriver]:
    """The same, closed at the end."""
    cluster = find_cluster(name, caller=caller)
    try:
        yield cluster
    finally:
        await cluster.close()


def default_name(environ: Mapping[str, str] = os.environ) -> str:
    """Say which cluster is meant when none is named: the kubeconfig's current one if it is ours, else ``kubelab``."""
    try:
        current = LoadingRules.of(environ=environ).load().current_context
    except KubeconfigError:
        return DEFAULT_NAME
    return current if current in names(kubeconfig.home(environ)) else DEFAULT_NAME
