"""Finds the leaders: etcd's in the status of the processes, those of the other components in their Leases.

A Lease names its holder, such as ``scheduler@cp-2``, which leads until the Lease expires: a leader that hangs stays the
holder until another one writes it. When no api-server answers, no leader is shown.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

import structlog

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import ApiError
from kubelab.apimachinery.scheme import LEASES
from kubelab.client import leaderelection
from kubelab.client.client import Client
from kubelab.client.informer import Informer
from kubelab.cluster.driver import ClusterDriver, Process

NAMESPACE = "kube-system"
ELECTED = ("etcd", "scheduler", "controller-manager")
LOOK_SECONDS = 3.0
_log = structlog.get_logger()


def client(cluster: ClusterDriver, clock: Clock) -> Client:
    """Connect to a cluster's api-servers. Raises KubeconfigError."""
    return Client.from_kubeconfig(cluster.kubeconfig, caller="kubelab", clock=clock, context=cluster.name)


def several(processes: Iterable[Process]) -> bool:
    """Whether there is anything to lead: more than one of a kind."""
    return sum(process.component == "etcd" for process in processes) > 1


def role(process: Process, holders: frozenset[str]) -> str:
    """``leader`` or ``follower`` for a component with elections; ``-`` for others, and when no api-server answers."""
    if process.component not in ELECTED or not process.pid:
        return "-"
    if process.component == "etcd":
        return "leader" if process.leader else "follower"
    if not any(holder.startswith(f"{process.component}@") for holder in holders):
        return "-"
    return "leader" if process.name in holders else "follower"


async def holders(source: Client) -> frozenset[str]:
    """Read the Leases: the processes that lead by one now; none when no api-server answers in time."""
    try:
        async with source.clock.timeout(LOOK_SECONDS):
            listed = await source.list(LEASES, NAMESPACE)
    except (ApiError, TimeoutError):
        return frozenset()
    return _leading(listed.items, source.clock.time())


async def follow(source: Client, on_change: Callable[[frozenset[str]], None]) -> None:
    """Report the holders at each change and at each expiry of a Lease, until cancelled."""
    informer = Informer(source, LEASES, namespace=NAMESPACE, log=_quiet())
    changed = asyncio.Event()

    def look(*_: coordination_pb2.Lease) -> None:
        changed.set()

    informer.add_handler(on_add=look, on_update=look, on_delete=look)
    last: frozenset[str] = frozenset()
    async with asyncio.TaskGroup() as group:
        group.create_task(informer.run(), name="leases")
        await informer.wait_synced()
        while True:
            changed.clear()
            leases, now = informer.list(), source.clock.time()
            current = _leading(leases, now)
            if current != last:
                last = current
                on_change(current)
            lasting = [remaining for lease in leases if (remaining := leaderelection.expiry(lease) - now) > 0]
            with contextlib.suppress(TimeoutError):  # an expiry is no event: the Lease just stops changing
                async with source.clock.timeout(min(lasting, default=None)):
                    await changed.wait()


def _leading(leases: Iterable[coordination_pb2.Lease], now: float) -> frozenset[str]:
    return frozenset(leaderelection.holder(lease, now) for lease in leases) - {""}


def _quiet() -> structlog.typing.FilteringBoundLogger:
    """A logger that drops everything: a lost api-server is expected here, not an error."""
    return structlog.wrap_logger(structlog.PrintLogger(), processors=[_drop])


def _drop(*_: object) -> dict[str, object]:
    raise structlog.DropEvent
