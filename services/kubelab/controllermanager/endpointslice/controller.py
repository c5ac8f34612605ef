"""Keep the EndpointSlices of every service with a selector equal to its pods.

One key is one service. What changes about its pods within the batch period is written once. The slices of a service
that is gone are left to the garbage collector: the service owns them.
"""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.meta import is_terminating, key_of
from kubelab.apimachinery.scheme import ENDPOINT_SLICES, NODES, PODS, SERVICES
from kubelab.client.controller import Reconciler
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.endpoints.controller import newest, told
from kubelab.controllermanager.endpointslice import decide, packing
from kubelab.controllermanager.endpointslice.writing import carry_out, is_managed_by, slices_by_service
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.indexes import (
    BY_LABEL,
    BY_SELECTOR,
    BY_SERVICE,
    pod_labels,
    selected_pods,
    selecting,
    selector_label,
)
from kubelab.rpc import tracing

ZONE = "topology.kubernetes.io/zone"


class EndpointSliceController(Reconciler[str]):
    """Own the slices of services."""

    name = "endpointslice"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._services, self._pods = context.informers.of(SERVICES), context.informers.of(PODS)
        self._slices, self._nodes = context.informers.of(ENDPOINT_SLICES), context.informers.of(NODES)
        self._services.add_indexers({BY_SELECTOR: selector_label})
        self._pods.add_indexers({BY_LABEL: pod_labels})
        self._slices.add_indexers({BY_SERVICE: slices_by_service})
        self._batch_period = context.config.endpoint_updates_batch_period
        self._services.add_handler(on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new))
        self._pods.add_handler(on_add=self._pod_changed, on_update=self._pod_updated, on_delete=self._pod_changed)
        self._slices.add_handler(
            on_add=self._slice_changed,
            on_update=lambda _, new: self._slice_changed(new),
            on_delete=self._slice_changed,
        )
        self._expectations = Expectations(self._slices, context.clock)

    def enqueue_all(self) -> None:
        """Look at every service."""
        for service in self._services.list():
            self._enqueue(service)

    def _enqueue(self, service: core_pb2.Service) -> None:
        self._queue.add(key_of(service))

    def _slice_changed(self, slice_: discovery_pb2.EndpointSlice) -> None:
        if is_managed_by(slice_, decide.MANAGER):
            for key in slices_by_service(slice_):
                self._queue.add(key)

    def _pod_changed(self, pod: core_pb2.Pod) -> None:
        for service in selecting(self._services, pod):
            self._queue.add_after(key_of(service), self._batch_period)

    def _pod_updated(self, old: core_pb2.Pod, new: core_pb2.Pod) -> None:
        if told(old) == told(new):
            return
        if old.metadata.labels != new.metadata.labels:
            self._pod_changed(old)
        self._pod_changed(new)

    async def sync(self, key: str) -> None:
        """Write one service's slices, if they are not right."""
        if not self._expectations.satisfied(key):
            self._queue.add_after(key, LOOK_AGAIN)  # the awaited event brings the key back sooner
            return
        service = self._services.get(key)
        if service is None or is_terminating(service):
            self._expectations.forget(key)
            return
        existing = [one for one in self._slices.by_index(BY_SERVICE, key) if is_managed_by(one, decide.MANAGER)]
        m, spec = service.metadata, service.spec
        if not spec.selector or spec.type == "ExternalName":
            plan = packing.Plan([], [], existing)  # a selector was there before
            selected: list[core_pb2.Pod] = []
        else:
            selected = selected_pods(self._pods, m.namespace, spec.selector)
            endpoints = decide.desired(service, selected, self._zone_of)
            plan = packing.plan(endpoints, existing, decide.labels(service), decide.PLACEHOLDER)
        metadata = meta_pb2.ObjectMeta(namespace=m.namespace, generateName=f"{m.name}-", labels=decide.labels(service))
        metadata.ownerReferences.add(
            apiVersion="v1", kind="Service", name=m.name, uid=m.uid, controller=True, blockOwnerDeletion=True
        )
        with tracing.cause(newest(service, selected)):
            await carry_out(self._client, self._expectations, key, plan, metadata)

    def _zone_of(self, node: str) -> str:
        found = self._nodes.get(node)
        return found.metadata.labels.get(ZONE, "") if found is not None else ""
