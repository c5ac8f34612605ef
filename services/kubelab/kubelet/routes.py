"""One route to every other node's pod CIDR, by way of that node's address; gone when the node is gone.

One worker, one key: what is wanted is read from the informer's cache, what is there is remembered, the difference is
written off the event loop. At the first pass the kernel is asked which of our routes an earlier kubelet left: they
carry :data:`PROTOCOL`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from structlog.typing import FilteringBoundLogger

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.client.controller import run_workers
from kubelab.client.informer import Informer
from kubelab.client.workqueue import WorkQueue
from kubelab.kubelet.metrics import KubeletMetrics

PROTOCOL = 107  # of a route: who made it; a number of our own, as /etc/iproute2/rt_protos leaves them free
_KEY = "routes"


class RouteTable(Protocol):
    """The kernel's routes, as far as they are ours: destination network to gateway. Calls block."""

    def read(self) -> dict[str, str]: ...

    def replace(self, destination: str, gateway: str) -> None: ...

    def delete(self, destination: str) -> None: ...


class KernelRoutes:
    """By netlink, in the network namespace that the process is in. Raises OSError."""

    def read(self) -> dict[str, str]:
        with _netlink() as ip:
            found: dict[str, str] = {}
            for route in ip.get_routes(family=2, proto=PROTOCOL):
                attributes = dict(route["attrs"])
                if route["proto"] == PROTOCOL and "RTA_DST" in attributes:
                    gateway = attributes.get("RTA_GATEWAY", "")
                    found[f"{attributes['RTA_DST']}/{route['dst_len']}"] = gateway
            return found

    def replace(self, destination: str, gateway: str) -> None:
        with _netlink() as ip, _as_os_error():
            ip.route("replace", dst=destination, gateway=gateway, proto=PROTOCOL)

    def delete(self, destination: str) -> None:
        with _netlink() as ip, _as_os_error():
            ip.route("del", dst=destination, proto=PROTOCOL)


def _netlink() -> Any:
    from pyroute2 import IPRoute  # 40 ms of imports that only nodes with routes need

    return cast(Any, IPRoute)()


@contextlib.contextmanager
def _as_os_error() -> Generator[None]:
    """NetlinkError is no OSError; to the callers it is one, with its errno."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as err:
        raise OSError(err.code, str(err)) from err


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between two tables."""

    set: Mapping[str, str]
    delete: tuple[str, ...]


def wanted(nodes: Iterable[core_pb2.Node], own_name: str) -> dict[str, str]:
    """Give the routes that should be, from the nodes there are. A node whose address or range is no IPv4 has none."""
    routes: dict[str, str] = {}
    for node in nodes:
        ip = next((a.address for a in node.status.addresses if a.type == "InternalIP"), "")
        if node.metadata.name == own_name or not ip:
            continue
        for cidr in node.spec.podCIDRs or ([node.spec.podCIDR] if node.spec.podCIDR else []):
            with contextlib.suppress(ValueError):
                routes[str(ipaddress.IPv4Network(cidr))] = str(ipaddress.IPv4Address(ip))
    return routes


def difference(want: Mapping[str, str], have: Mapping[str, str]) -> Change:
    """Say what has to be done to get from ``have`` to ``want``."""
    return Change(
        {to: via for to, via in want.items() if have.get(to) != via},
        tuple(to for to in have if to not in want),
    )


class Router:
    """See the module."""

    def __init__(
        self,
        informer: Informer[core_pb2.Node],
        own_name: str,
        table: RouteTable,
        *,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: KubeletMetrics,
    ) -> None:
        self._informer, self._own, self._table, self._log = informer, own_name, table, log
        self._metrics = metrics
        self._have: dict[str, str] | None = None
        self._queue: WorkQueue[str] = WorkQueue("routes", clock=clock, first_delay=0.1, max_delay=5.0)
        informer.add_handler(
            on_add=lambda _: self._queue.add(_KEY),
            on_update=self._updated,
            on_delete=lambda _: self._queue.add(_KEY),
        )

    def _updated(self, old: core_pb2.Node, new: core_pb2.Node) -> None:
        if wanted([old], self._own) != wanted([new], self._own):  # heartbeats move no route
            self._queue.add(_KEY)

    async def run(self) -> None:
        await self._informer.wait_synced()
        self._queue.add(_KEY)
        await run_workers(self._queue, self._sync, workers=1, name="routes", log=self._log)

    async def _sync(self, _key: str) -> None:
        want = wanted(self._informer.list(), self._own)
        try:
            failed = await asyncio.to_thread(self._apply, want)
        except OSError as err:
            raise errors.Unavailable(f"routes: {err}") from err
        self._metrics.routes.set(len(want) - len(failed))
        if failed:  # one that the kernel refuses must not keep the others from being made
            raise errors.Unavailable(f"routes: {'; '.join(failed)}")

    def _apply(self, want: Mapping[str, str]) -> list[str]:
        """Make the difference; gives what the kernel refused."""
        if self._have is None:
            self._have = self._table.read()
        change = difference(want, self._have)
        failed: list[str] = []
        for to in change.delete:
            try:
                with contextlib.suppress(ProcessLookupError):  # ESRCH: it went with its interface
                    self._table.delete(to)
            except OSError as err:
                failed.append(f"{to}: {err}")
                continue
            del self._have[to]
        for to, via in change.set.items():
            try:
                self._table.replace(to, via)
            except OSError as err:
                failed.append(f"{to} via {via}: {err}")
                continue
            self._have[to] = via
            self._log.info("route", to=to, via=via)
        return failed
