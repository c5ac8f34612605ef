"""Mirror the Endpoints of services without a selector into EndpointSlices, which kube-proxy reads.

One key is one Endpoints object, which has the name of its service and owns the slices.
"""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.meta import key_of
from kubelab.apimachinery.scheme import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from kubelab.client.controller import Reconciler
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.endpointslice import packing
from kubelab.controllermanager.endpointslice.writing import carry_out, is_managed_by, slices_by_service
from kubelab.controllermanager.endpointslicemirroring import decide
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.indexes import BY_SERVICE
from kubelab.rpc import tracing


class EndpointSliceMirroringController(Reconciler[str]):
    """Own the slices of Endpoints that no controller fills in."""

    name = "endpointslicemirroring"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._services, self._endpoints = context.informers.of(SERVICES), context.informers.of(ENDPOINTS)
        self._slices = context.informers.of(ENDPOINT_SLICES)
        self._slices.add_indexers({BY_SERVICE: slices_by_service})
        for informer in (self._services, self._endpoints):
            informer.add_handler(
                on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new), on_delete=self._enqueue
            )
        self._slices.add_handler(
            on_add=self._slice_changed,
            on_update=lambda _, new: self._slice_changed(new),
            on_delete=self._slice_changed,
        )
        self._expectations = Expectations(self._slices, context.clock)

    def enqueue_all(self) -> None:
        """Look at all Endpoints, and at slices whose Endpoints went while no leader watched."""
        for endpoints in self._endpoints.list():
            self._enqueue(endpoints)
        for slice_ in self._slices.list():
            self._slice_changed(slice_)

    def _enqueue(self, obj: core_pb2.Service | core_pb2.Endpoints) -> None:
        self._queue.add(key_of(obj))

    def _slice_changed(self, slice_: discovery_pb2.EndpointSlice) -> None:
        if is_managed_by(slice_, decide.MANAGER):
            for key in slices_by_service(slice_):
                self._queue.add(key)

    async def sync(self, key: str) -> None:
        """Write the slices of one Endpoints object, if they are not right."""
        if not self._expectations.satisfied(key):
            self._queue.add_after(key, LOOK_AGAIN)  # the awaited event brings the key back sooner
            return
        endpoints, service = self._endpoints.get(key), self._services.get(key)
        existing = [one for one in self._slices.by_index(BY_SERVICE, key) if is_managed_by(one, decide.MANAGER)]
        if endpoints is None or not decide.is_mirrored(endpoints, service):
            await carry_out(
                self._client, self._expectations, key, packing.Plan([], [], existing), meta_pb2.ObjectMeta()
            )
            return
        m = endpoints.metadata
        labels = decide.labels(endpoints)
        metadata = meta_pb2.ObjectMeta(namespace=m.namespace, generateName=f"{m.name}-", labels=labels)
        metadata.ownerReferences.add(
            apiVersion="v1", kind="Endpoints", name=m.name, uid=m.uid, controller=True, blockOwnerDeletion=True
        )
        plan = packing.plan(decide.desired(endpoints), existing, labels)
        with tracing.cause(m.resourceVersion):
            await carry_out(self._client, self._expectations, key, plan, metadata)
