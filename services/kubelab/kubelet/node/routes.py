"""One route to every other node's pod CIDR, by way of that node's address; gone when the node is gone.

One worker, one key: what is wanted is read from the informer's cache, what is there is remembered, the difference is
written off the event loop. At the first pass the kernel is asked which of our routes an earlier kubelet left: they
carry :data:`PROTOCOL`. What a Node says of itself becomes a route only as far as
:mod:`kubelab.kubelet.node.podnetworks` believes it; a route that the kernel refuses is tried again and holds up no
other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, Protocol, cast

from structlog.typing import FilteringBoundLogger

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.client.controller import run_workers
from kubelab.client.informer import Informer
from kubelab.client.workqueue import WorkQueue
from kubelab.kubelet.metrics import KubeletMetrics
from kubelab.kubelet.node import podnetworks

PROTOCOL = 107  # of a route: who made it; a number of our own, as /etc/iproute2/rt_protos leaves them free
_KEY = "routes"


class RouteTable(Protocol):
    """The kernel's routes, as far as they are ours: destination network to gateway. Calls block."""

    def read(self) -> dict[str, str]: ...

    def replace(self, destination: str, gateway: str) -> None: ...

    def delete(self, destination: str) -> None: ...

    def network_of(self, address: str) -> str: ...


class KernelRoutes:
    """By netlink, in the network namespace that the process is in. Raises OSError."""

    def read(self) -> dict[str, str]:
        with _netlink() as ip:
            routes: dict[str, str] = {}
            for route in ip.get_routes(family=2, proto=PROTOCOL):
                attributes = dict(route["attrs"])
                if route["proto"] == PROTOCOL and "RTA_DST" in attributes:
                    gateway = attributes.get("RTA_GATEWAY", "")
                    routes[f"{attributes['RTA_DST']}/{route['dst_len']}"] = gateway
            return routes

    def replace(self, destination: str, gateway: str) -> None:
        with _netlink() as ip, _as_os_error():
            ip.route("replace", dst=destination, gateway=gateway, proto=PROTOCOL)

    def delete(self, destination: str) -> None:
        with _netlink() as ip, _as_os_error():
            ip.route("del", dst=destination, proto=PROTOCOL)

    def network_of(self, address: str) -> str:
        """Give the network of the interface that has an address; "" where none has it."""
        with _netlink() as ip:
            for entry in ip.get_addr(family=2):
                if dict(entry["attrs"]).get("IFA_LOCAL") == address:
                    return str(ipaddress.IPv4Network(f"{address}/{entry['prefixlen']}", strict=False))
        return ""


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


def difference(want: Mapping[str, str], have: Mapping[str, str]) -> Change:
    """Say what has to be done to get from ``have`` to ``want``."""
    return Change(
        {to: via for to, via in want.items() if have.get(to) != via},
        tuple(to for to in have if to not in want),
    )


class Router:
    """See the module. ``node_network`` is where nodes reach each other; empty: the network of this node's interface."""

    def __init__(
        self,
        informer: Informer[core_pb2.Node],
        own_name: str,
        own_address: str,
        table: RouteTable,
        *,
        pods: IPv4Network,
        mask: int,
        node_network: str,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: KubeletMetrics,
    ) -> None:
        self._informer, self._own, self._address = informer, own_name, own_address
        self._table, self._log, self._metrics = table, log, metrics
        self._pods, self._mask, self._node_network = pods, mask, node_network
        self._have: dict[str, str] | None = None
        self._refused: Mapping[str, str] = {}
        self._queue: WorkQueue[str] = WorkQueue("routes", clock=clock, first_delay=0.1, max_delay=5.0)
        informer.add_handler(
            on_add=lambda _: self._queue.add(_KEY),
            on_update=self._updated,
            on_delete=lambda _: self._queue.add(_KEY),
        )

    def _updated(self, old: core_pb2.Node, new: core_pb2.Node) -> None:
        if podnetworks.said(old) != podnetworks.said(new):  # heartbeats move no route
            self._queue.add(_KEY)

    async def run(self) -> None:
        await self._informer.wait_synced()
        self._queue.add(_KEY)
        await run_workers(self._queue, self._sync, workers=1, name="routes", log=self._log)

    async def _sync(self, _key: str) -> None:
        try:
            problems = await asyncio.to_thread(self._apply, self._informer.list())
        except OSError as err:
            raise errors.Unavailable(f"routes: {err}") from err
        self._metrics.routes.set(len(self._have or ()))
        if problems:
            raise errors.Unavailable(f"routes: {'; '.join(problems)}")

    def _apply(self, nodes: Sequence[core_pb2.Node]) -> list[str]:
        """Bring the kernel's routes about; gives what it refused. OSError when it tells nothing at all."""
        network = self._node_network or self._table.network_of(self._address)
        if not network:
            raise OSError(f"no interface has this node's address {self._address}")
        layout = podnetworks.Layout(self._pods, self._mask, IPv4Network(network))
        routes = podnetworks.routes(nodes, self._own, self._address, layout)
        self._tell(routes.refused)
        if self._have is None:
            self._have = self._table.read()
        change = difference(routes.via, self._have)
        problems = [self._try(self._delete, to) for to in change.delete]
        problems += [self._try(self._replace, to, via) for to, via in change.set.items()]
        return [problem for problem in problems if problem]

    def _tell(self, refused: Mapping[str, str]) -> None:
        for node, why in refused.items():
            if self._refused.get(node) != why:
                self._log.warning("no route to a node", node=node, reason=why)
        self._refused = refused

    @staticmethod
    def _try(change: Callable[..., None], to: str, *via: str) -> str:
        try:
            change(to, *via)
        except OSError as err:
            return f"{to}: {err}"
        return ""

    def _delete(self, to: str) -> None:
        with contextlib.suppress(ProcessLookupError):  # ESRCH: it went with its interface
            self._table.delete(to)
        assert self._have is not None
        del self._have[to]

    def _replace(self, to: str, via: str) -> None:
        self._table.replace(to, via)
        assert self._have is not None
        self._have[to] = via
        self._log.info("route", to=to, via=via)
