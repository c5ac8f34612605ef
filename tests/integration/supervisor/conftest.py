"""A cluster of the test's own, of which nothing is left afterwards."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from kubelab.apimachinery.clock import SystemClock
from kubelab.cluster import launch
from kubelab.cluster.driver import ClusterStatus, Process, ProcessState
from kubelab.cluster.local import LocalCluster
from kubelab.supervisor import cleanup
from kubelab.topology.record import Record
from tests.support import polling

WAIT_SECONDS = 60.0
CORE = {"etcd", "api-server", "scheduler"}


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    """A cluster on disk, not started, removed at the end whatever happened to it."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Record.new(tmp_path / "home", f"kl-sup-{secrets.token_hex(3)}", 2)
    made.save()
    yield made
    cleanup.everything(made, SystemClock(), delete=True)
    assert not made.run.exists()
    assert not made.folder.exists()


@pytest.fixture
async def cluster(record: Record) -> AsyncGenerator[LocalCluster]:
    """A cluster whose core is well."""
    async with aclosing(launch.launch(record)) as steps:
        assert [step async for step in steps] == ["certificates", "network", "processes"]
    async with LocalCluster(record.name, record.socket) as running:
        await until(running, core_is_well)
        yield running


def core_is_well(status: ClusterStatus) -> bool:
    return all(p.state is ProcessState.RUNNING for p in status.processes if p.component in CORE)


def named(status: ClusterStatus, name: str) -> Process:
    return next(process for process in status.processes if process.name == name)


async def until(cluster: LocalCluster, true: Callable[[ClusterStatus], bool]) -> ClusterStatus:
    """Wait until the status is as wanted; survives the supervisor's own death."""
    async with asyncio.timeout(WAIT_SECONDS):
        async with aclosing(cluster.watch_status()) as answers:
            async for status in answers:
                if true(status):
                    return status
    raise AssertionError("the supervisor went away")


async def until_true(condition: Callable[[], object]) -> None:
    """Wait for what nothing tells of: which processes the kernel has."""
    await polling.until_true(condition, within=WAIT_SECONDS)
