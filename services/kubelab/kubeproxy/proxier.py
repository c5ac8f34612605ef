"""The loop of kube-proxy: services and endpoints come in, nftables transactions go out.

One worker, so transactions are serial. Keys of services that changed gather in the work queue; a pass takes all of
them, works out what they should be from the informers' caches, and writes the difference in one transaction. Nothing
is written before both caches are in: rules made from half a picture would cut connections. When nft refuses, the
table in the kernel is not what this process believes, and the next pass makes the whole table anew.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.meta import key_of
from kubelab.kubeproxy.model import ServicePort, service_ports
from kubelab.kubeproxy.nft import Nft, NftError
from kubelab.kubeproxy.rules import Table

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from structlog.typing import FilteringBoundLogger

    from kubelab.api.core.v1 import core_pb2
    from kubelab.client.informer import Informer
    from kubelab.client.workqueue import WorkQueue
    from kubelab.kubeproxy.metrics import ProxyMetrics


class Proxier:
    """Keeps one node's table equal to the services and ready endpoints that the api-server tells of."""

    def __init__(
        self,
        *,
        services: Informer[core_pb2.Service],
        endpoints: Informer[core_pb2.Endpoints],
        queue: WorkQueue[str],
        nft: Nft,
        node: str,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: ProxyMetrics,
        min_sync_period: float = 0.01,
    ) -> None:
        self._services, self._endpoints, self._queue = services, endpoints, queue
        self._nft, self._node, self._clock, self._log, self._metrics = nft, node, clock, log, metrics
        self._min_sync_period = min_sync_period
        self._table = Table()
        self._whole = True  # the kernel's table is not known: replace it
        self.first_sync = asyncio.Event()
        services.add_handler(on_add=self._enqueue, on_update=self._enqueue_update, on_delete=self._enqueue)
        endpoints.add_handler(on_add=self._enqueue, on_update=self._enqueue_update, on_delete=self._enqueue)

    def _enqueue(self, obj: Message) -> None:
        self._queue.add(key_of(obj))

    def _enqueue_update(self, old: Message, new: Message) -> None:
        self._queue.add(key_of(new))

    async def run(self) -> None:
        """Sync until cancelled."""
        await asyncio.gather(self._services.wait_synced(), self._endpoints.wait_synced())
        await self._pass(set())
        self.first_sync.set()
        while True:
            keys = {await self._queue.get()}
            await self._clock.sleep(self._min_sync_period)  # what changes together is written together
            while (more := self._queue.get_nowait()) is not None:
                keys.add(more)
            await self._pass(keys)

    async def _pass(self, keys: set[str]) -> None:
        """Write what the keys' services should be; whatever fails is tried again by the queue."""
        began = self._clock.monotonic()
        try:
            await self.sync(keys)
        except NftError as err:
            self._whole = True
            self._metrics.failures.inc()
            self._log.error("nftables transaction failed, will write the whole table", error=str(err))
            for key in keys or {""}:
                self._queue.retry(key)
        else:
            for key in keys:
                self._queue.forget(key)
            self._metrics.sync_seconds.observe(self._clock.monotonic() - began)
        finally:
            for key in keys:
                self._queue.done(key)

    async def sync(self, keys: set[str]) -> None:
        """Read the caches, work out the difference, write it in one transaction."""
        if self._whole:
            everything = {key_of(s): self._desired(key_of(s)) for s in self._services.list()}
            await self._nft.apply(self._table.replaced(everything))
            self._table = Table()
            self._table.commit(everything)
            self._whole = False
            self._log.info("wrote all rules", services=len(everything))
        else:
            changes = {key: self._desired(key) for key in sorted(keys) if key}
            transaction = self._table.transaction(changes)
            if transaction:
                await self._nft.apply(transaction)
                self._log.debug("wrote rules", services=sorted(changes), lines=transaction.count("\n"))
            self._table.commit(changes)
        self._metrics.services.set(len(self._table.ports))

    def _desired(self, key: str) -> tuple[ServicePort, ...]:
        service = self._services.get(key)
        return service_ports(service, self._endpoints.get(key), node=self._node) if service is not None else ()

    def check_invariants(self) -> None:
        """Raise AssertionError when the picture of the table contradicts itself."""
        self._table.check_invariants()
