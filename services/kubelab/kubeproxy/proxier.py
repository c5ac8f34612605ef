"""The loop of kube-proxy: services and endpoint slices come in, nftables transactions go out.

Handlers note which services changed and put one key into the queue. The one worker takes all noted services, computes
their rules from the informers' caches, and writes the difference in one transaction. So transactions are serial, and
changes that come together are written together. The worker writes nothing before all caches have synced: rules from
partial caches would cut connections. When nft refuses a transaction, the kernel's table differs from the expected one,
and the next pass replaces the whole table; after any other failure the next pass retries the noted services.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from itertools import chain

from google.protobuf.message import Message
from structlog.typing import FilteringBoundLogger

from kubelab.api.core.v1 import core_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.meta import key_of
from kubelab.client.controller import run_workers
from kubelab.client.informer import Informer
from kubelab.client.workqueue import WorkQueue
from kubelab.kubeproxy.conntrack import Conntrack, Destination, to_check
from kubelab.kubeproxy.metrics import ProxyMetrics
from kubelab.kubeproxy.model import Backend, ServicePort, ignored_fields, node_addresses, service_ports
from kubelab.kubeproxy.nft import Nft, NftError
from kubelab.kubeproxy.rules import Table

RULES = "rules"  # the queue's only key
BY_SERVICE = "service"
SERVICE_NAME = "kubernetes.io/service-name"


def service_of(slice_: discovery_pb2.EndpointSlice) -> Iterable[str]:
    """BY_SERVICE: ``namespace/name`` of the service that an IPv4 slice is of."""
    name = slice_.metadata.labels.get(SERVICE_NAME)
    return (f"{slice_.metadata.namespace}/{name}",) if name and slice_.addressType == "IPv4" else ()


class Proxier:
    """Keeps one node's table equal to the services and ready endpoints of the api-server."""

    def __init__(
        self,
        *,
        services: Informer[core_pb2.Service],
        slices: Informer[discovery_pb2.EndpointSlice],
        nodes: Informer[core_pb2.Node],
        queue: WorkQueue[str],
        nft: Nft,
        conntrack: Conntrack,
        node: str,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: ProxyMetrics,
        min_sync_period: float = 0.01,
        table: Table | None = None,
    ) -> None:
        self._services, self._slices, self._nodes, self._queue = services, slices, nodes, queue
        self._conntrack = conntrack
        self._nft, self._node, self._clock, self._log, self._metrics = nft, node, clock, log, metrics
        self._min_sync_period = min_sync_period
        self._table = table or Table()
        self._changed: set[str] = set()
        self._of_node: dict[str, frozenset[IPv4Address]] = {}  # by node, its own addresses
        self._all_nodes: frozenset[IPv4Address] | None = None
        self._whole = True  # the kernel's table is not known: replace it
        self.first_sync = asyncio.Event()
        services.add_handler(on_add=self._note_service, on_update=self._note_service_change, on_delete=self._note)
        slices.add_indexers({BY_SERVICE: service_of})
        slices.add_handler(on_add=self._note_slice, on_update=self._note_slices, on_delete=self._note_slice)
        nodes.add_handler(
            on_add=self._note_node,
            on_update=lambda _, new: self._note_node(new),
            on_delete=lambda node: self._know_node(node.metadata.name, frozenset()),
        )

    def _note_node(self, node: core_pb2.Node) -> None:
        self._know_node(node.metadata.name, node_addresses(node))

    def _know_node(self, name: str, addresses: frozenset[IPv4Address]) -> None:
        """Take up anew what has an external address when a node's own addresses are others."""
        if self._of_node.get(name, frozenset()) == addresses:
            return
        if addresses:
            self._of_node[name] = addresses
        else:
            del self._of_node[name]
        self._all_nodes = None
        for service in self._services.list():
            if service.spec.externalIPs:
                self._note_service(service)

    def _node_addresses(self) -> frozenset[IPv4Address]:
        if self._all_nodes is None:
            self._all_nodes = frozenset(chain.from_iterable(self._of_node.values()))
        return self._all_nodes

    def _note_service_change(self, old: core_pb2.Service, new: core_pb2.Service) -> None:
        if ignored_fields(old, self._node_addresses()) == ignored_fields(new, self._node_addresses()):
            self._note(new)
        else:
            self._note_service(new)

    def _note_service(self, service: core_pb2.Service) -> None:
        if ignored := ignored_fields(service, self._node_addresses()):
            self._log.warning("not forwarded", service=key_of(service), what=ignored)
        self._note(service)

    def _note_slices(self, old: discovery_pb2.EndpointSlice, new: discovery_pb2.EndpointSlice) -> None:
        self._note_slice(old)
        self._note_slice(new)

    def _note_slice(self, slice_: discovery_pb2.EndpointSlice) -> None:
        for key in service_of(slice_):
            self._note_key(key)

    def _note(self, obj: Message) -> None:
        self._note_key(key_of(obj))

    def _note_key(self, key: str) -> None:
        self._changed.add(key)
        self._queue.add_after(RULES, self._min_sync_period)

    async def run(self) -> None:
        """Sync until cancelled."""
        await asyncio.gather(*(it.wait_synced() for it in (self._services, self._slices, self._nodes)))
        self._queue.add(RULES)  # also where there is no service at all: the table is there from the start
        await run_workers(self._queue, self.sync, workers=1, name="rules", log=self._log)

    async def sync(self, _key: str) -> None:
        """Read the caches, work out the difference, write it in one transaction; InternalError when nft refuses."""
        changed, self._changed = self._changed, set()
        began = self._clock.monotonic()
        try:
            if self._whole:
                await self._write_everything()
            else:
                await self._write({key: self._desired(key) for key in sorted(changed)})
        except NftError as err:
            self._whole = True
            self._metrics.failures.inc()
            raise errors.InternalError(f"nftables: {err}") from err
        except BaseException:
            self._changed |= changed  # nothing of it was written
            raise
        self._metrics.sync_seconds.observe(self._clock.monotonic() - began)
        self._metrics.services.set(len(self._table.ports))
        self.first_sync.set()

    async def _write_everything(self) -> None:
        everything = {key_of(service): self._desired(key_of(service)) for service in self._services.list()}
        await self._nft.apply(self._table.replaced(everything))
        self._table = self._table.empty()
        self._table.commit(everything)
        self._whole = False
        self._log.info("wrote all rules", services=len(everything))
        await self._forget_flows(to_check((), chain.from_iterable(everything.values())))

    async def _write(self, changes: dict[str, tuple[ServicePort, ...]]) -> None:
        transaction = self._table.transaction(changes)
        if transaction:
            await self._nft.apply(transaction)
            self._log.info("wrote rules", services=sorted(changes), lines=transaction.count("\n"))
        before = [port for key in changes for port in self._table.ports.get(key, ())]
        self._table.commit(changes)
        await self._forget_flows(to_check(before, chain.from_iterable(changes.values())))

    async def _forget_flows(self, expected: Mapping[Destination, frozenset[Backend]]) -> None:
        """Delete the UDP flows that lead to former backends. A failure is logged; the rules stay."""
        if not expected:
            return
        try:
            deleted = await asyncio.to_thread(self._conntrack.forget_stale, expected)
        except OSError as err:
            self._log.warning("stale UDP flows not deleted", error=str(err))
        else:
            self._log.info("looked for stale UDP flows", destinations=len(expected), deleted=deleted)

    def _desired(self, key: str) -> tuple[ServicePort, ...]:
        service = self._services.get(key)
        if service is None:
            return ()
        slices = self._slices.by_index(BY_SERVICE, key)
        return service_ports(service, slices, node=self._node, node_addresses=self._node_addresses())

    def check_invariants(self) -> None:
        """Raise AssertionError when the picture of the table contradicts itself."""
        self._table.check_invariants()
