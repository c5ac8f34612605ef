"""The heartbeat: a Lease in ``kube-node-lease``, renewed every ten seconds whatever else the kubelet does.

https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats
"""

from __future__ import annotations

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import ExponentialBackoff, jittered
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import LEASES
from kubelab.client.client import Client
from kubelab.rpc import tracing

NAMESPACE = "kube-node-lease"
RETRY = ExponentialBackoff(0.2, 7.0)  # upstream's back-off for a lease that cannot be made ends at 7 s
RENEW_JITTER = 0.04  # upstream's: so that nodes which began together do not renew together for ever
CONFLICTS = 5  # upstream's maxUpdateRetries


class NodeLease:
    """Renew the lease until cancelled. ``node`` gives the newest Node object, the lease's owner."""

    def __init__(
        self,
        client: Client,
        name: str,
        node: Callable[[], core_pb2.Node | None],
        *,
        clock: Clock,
        log: FilteringBoundLogger,
        duration_seconds: int = 40,
        renew_seconds: float = 10.0,
    ) -> None:
        self._client, self._name, self._node = client, name, node
        self._clock, self._log = clock, log
        self._duration, self._renew = duration_seconds, renew_seconds
        self._lease: coordination_pb2.Lease | None = None

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                with tracing.root():
                    await self.beat()
                failures, wait = 0, jittered(self._renew, RENEW_JITTER)
            except errors.ApiError as err:
                self._log.warning("lease not renewed", reason=err.reason, error=err.message)
                failures += 1
                wait = min(RETRY.delay(failures), self._renew)
            await self._clock.sleep(wait)

    async def beat(self) -> None:
        """Renew once; make the lease where there is none."""
        for _ in range(CONFLICTS):
            if self._lease is None:
                self._lease = await self._take()
                return
            try:
                self._lease = await self._client.update(self._renewed(self._lease))
                return
            except errors.Conflict:
                self._lease = await self._client.get(LEASES, self._name, NAMESPACE)
            except errors.NotFound:
                self._lease = None
        raise errors.Conflict(f"lease {self._name} changes faster than it can be renewed")

    async def _take(self) -> coordination_pb2.Lease:
        fresh = coordination_pb2.Lease()
        fresh.metadata.name, fresh.metadata.namespace = self._name, NAMESPACE
        try:
            return await self._client.create(self._renewed(fresh))
        except errors.AlreadyExists:
            lease = await self._client.get(LEASES, self._name, NAMESPACE)
            return await self._client.update(self._renewed(lease))

    def _renewed(self, lease: coordination_pb2.Lease) -> coordination_pb2.Lease:
        renewed = deep_copy(lease)
        now = self._clock.time()
        renewed.spec.holderIdentity = self._name
        renewed.spec.leaseDurationSeconds = self._duration
        renewed.spec.renewTime.CopyFrom(meta_pb2.MicroTime(seconds=int(now), nanos=int(now % 1 * 1e6) * 1000))
        node = self._node()
        if node is not None and not any(o.uid == node.metadata.uid for o in renewed.metadata.ownerReferences):
            del renewed.metadata.ownerReferences[:]
            renewed.metadata.ownerReferences.add(
                apiVersion="v1", kind="Node", name=node.metadata.name, uid=node.metadata.uid
            )
        return renewed
