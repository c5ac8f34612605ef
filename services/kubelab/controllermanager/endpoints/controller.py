"""Keep the Endpoints of every service with a selector equal to its pods.

One key is one service. What changes about its pods within the batch period is written once. Own writes are awaited in
the cache, and a stale one cannot do harm: each write names the version that it replaces, and a refused one is tried
again.
"""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import is_ready, is_terminal
from kubelab.apimachinery.errors import NAMESPACE_TERMINATING, ApiError, Conflict, NotFound, has_cause
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import ENDPOINTS, PODS, SERVICES
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.endpoints.decide import desired
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.indexes import (
    BY_LABEL,
    BY_SELECTOR,
    pod_labels,
    selected_pods,
    selecting,
    selector_label,
)
from kubelab.rpc import tracing


class EndpointsController(Reconciler[str]):
    """Own the Endpoints of services."""

    name = "endpoints"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._recorder = context.recorder("endpoint-controller")
        self._services, self._pods, self._endpoints = (
            context.informers.of(SERVICES),
            context.informers.of(PODS),
            context.informers.of(ENDPOINTS),
        )
        self._services.add_indexers({BY_SELECTOR: selector_label})
        self._pods.add_indexers({BY_LABEL: pod_labels})
        self._batch_period = context.config.endpoint_updates_batch_period
        self._services.add_handler(
            on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new), on_delete=self._enqueue
        )
        self._pods.add_handler(on_add=self._pod_changed, on_update=self._pod_updated, on_delete=self._pod_changed)
        # Also what others did to Endpoints: it is undone, and the writes that a sync waits to see come back this way.
        self._endpoints.add_handler(
            on_add=self._endpoints_changed,
            on_update=lambda _, new: self._endpoints_changed(new),
            on_delete=self._enqueue,
        )
        self._expectations = Expectations(self._endpoints, context.clock)

    def enqueue_all(self) -> None:
        """Look at every service, and at Endpoints whose service went while no leader watched."""
        for service in self._services.list():
            self._enqueue(service)
        for endpoints in self._endpoints.list():
            self._queue.add(key_of(endpoints))

    def _enqueue(self, obj: core_pb2.Service | core_pb2.Endpoints) -> None:
        self._queue.add(key_of(obj))

    def _endpoints_changed(self, endpoints: core_pb2.Endpoints) -> None:
        if (
            self._services.get(key_of(endpoints)) is not None
        ):  # without a service, a person or another program wrote them
            self._enqueue(endpoints)

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
        """Write one service's Endpoints, if they are not right."""
        if not self._expectations.satisfied(key):
            self._queue.add_after(key, LOOK_AGAIN)  # the awaited event brings the key back sooner
            return
        service, current = self._services.get(key), self._endpoints.get(key)
        if service is None:
            if current is not None and not await self._has_service(current):
                await self._delete(current)
            return
        if not service.spec.selector or is_terminating(service):
            return  # filled in by a person or another program, or being deleted
        selected = selected_pods(self._pods, service.metadata.namespace, service.spec.selector)
        endpoints = desired(service, selected, current)
        if endpoints is None:
            return
        try:
            with tracing.cause(newest(service, selected)):
                write = self._client.create if current is None else self._client.update
                self._expectations.created(key, await write(endpoints))
        except Conflict:
            raise  # no event: the queue tries again on newer caches
        except ApiError as err:
            verb = "create" if current is None else "update"
            if not has_cause(err, NAMESPACE_TERMINATING):
                reason = f"FailedTo{verb.capitalize()}Endpoint"
                self._recorder.event(
                    service, "Warning", reason, f"Failed to {verb} endpoint for service {key}: {err.message}"
                )
                raise

    async def _has_service(self, endpoints: core_pb2.Endpoints) -> bool:
        """Ask the api-server itself: the watch of Endpoints may be ahead of that of services."""
        try:
            await self._client.get(SERVICES, endpoints.metadata.name, endpoints.metadata.namespace)
        except NotFound:
            return False
        return True

    async def _delete(self, endpoints: core_pb2.Endpoints) -> None:
        meta = endpoints.metadata
        try:
            await self._client.delete(ENDPOINTS, meta.name, meta.namespace, uid=meta.uid)
        except NotFound:
            return


def newest(service: core_pb2.Service, pods: list[core_pb2.Pod]) -> str:
    """Name the latest change among what the Endpoints follow from."""
    versions = [service.metadata.resourceVersion, *(pod.metadata.resourceVersion for pod in pods)]
    return max(versions, key=lambda version: int(version or 0))


def told(pod: core_pb2.Pod) -> tuple[object, ...]:
    """Everything about a pod that Endpoints could say."""
    return (
        pod.status.podIP,
        pod.spec.nodeName,
        pod.spec.hostname,
        pod.spec.subdomain,
        is_ready(pod),
        is_terminal(pod),
        is_terminating(pod),
        dict(pod.metadata.labels),
        pod.metadata.uid,
    )
