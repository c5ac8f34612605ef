"""Empty a namespace that is being deleted, then let it go.

Its objects are deleted by collection and their own controllers and finalizers take them away; every one that goes
brings the namespace's key back. Only when a live list of every resource is empty, the finalizer ``kubernetes`` is
removed, and with the last finalizer the api-server removes the namespace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import Conflict, NotFound
from kubelab.apimachinery.scheme import Resource
from kubelab.client import tracing
from kubelab.client.client import Client
from kubelab.client.controller import run_workers
from kubelab.client.workqueue import WorkQueue
from kubelab.controllermanager.informers import SharedInformers
from kubelab.controllermanager.owners import copied, metadata_of, terminating

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

FINALIZER = "kubernetes"
CONTENT_REMAINING = "NamespaceContentRemaining"
LOOK_AGAIN = 5.0  # seconds, should no event tell that the last object is gone

CONTENT: tuple[Resource[Message], ...] = tuple(
    sorted(
        (r for r in scheme.ALL if r.namespaced and "deletecollection" in r.verbs),
        # Who makes pods goes before the pods, and what is derived from others last.
        key=lambda r: (r is not scheme.REPLICATION_CONTROLLERS, r is scheme.EVENTS, r.qualified),
    )
)


def content_condition(remaining: Mapping[str, int], now: float) -> core_pb2.NamespaceCondition:
    """Say in upstream's words what is left. ``remaining`` counts by resource, ``now`` is wall time in seconds."""
    condition = core_pb2.NamespaceCondition(type=CONTENT_REMAINING, lastTransitionTime=meta_pb2.Time(seconds=int(now)))
    if remaining:
        told = ", ".join(f"{name}. has {count} resource instances" for name, count in sorted(remaining.items()))
        condition.status, condition.reason = "True", "SomeResourcesRemain"
        condition.message = f"Some resources are remaining: {told}"
    else:
        condition.status, condition.reason = "False", "ContentRemoved"
        condition.message = "All content successfully removed"
    return condition


def with_condition(namespace: core_pb2.Namespace, condition: core_pb2.NamespaceCondition) -> core_pb2.Namespace | None:
    """Copy a namespace with a condition; None when it says so already."""
    changed = copied(namespace)
    found = next((c for c in changed.status.conditions if c.type == condition.type), None)
    if found is None:
        changed.status.conditions.append(condition)
        return changed
    if (found.status, found.reason, found.message) == (condition.status, condition.reason, condition.message):
        return None
    since = found.lastTransitionTime if found.status == condition.status else condition.lastTransitionTime
    condition.lastTransitionTime.CopyFrom(since)
    found.CopyFrom(condition)
    return changed


class NamespaceController:
    """Own the end of every namespace."""

    name = "namespace"

    def __init__(
        self,
        *,
        client: Client,
        informers: SharedInformers,
        queue: WorkQueue[str],
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._client, self._clock, self._log = client, clock, log
        self._namespaces, self._queue = informers.namespaces, queue
        self._namespaces.add_handler(on_add=self._changed, on_update=lambda _, new: self._changed(new))
        for resource, informer in informers.all:
            if resource.namespaced:
                informer.add_handler(on_delete=self._content_gone)

    async def run(self, workers: int) -> None:
        """Sync until cancelled; first everything, for what an earlier lead left half done."""
        for namespace in self._namespaces.list():
            self._changed(namespace)
        await run_workers(self._queue, self.sync, workers=workers, name=self.name, log=self._log)

    def _changed(self, namespace: core_pb2.Namespace) -> None:
        if terminating(namespace):
            self._queue.add(namespace.metadata.name)

    def _content_gone(self, obj: Message) -> None:
        namespace = self._namespaces.get(metadata_of(obj).namespace)
        if namespace is not None:
            self._changed(namespace)

    async def sync(self, key: str) -> None:
        """Delete what is in one namespace, or the finalizer when nothing is."""
        namespace = self._namespaces.get(key)
        if namespace is None or not terminating(namespace) or FINALIZER not in namespace.spec.finalizers:
            return
        with tracing.cause(namespace.metadata.resourceVersion):
            remaining = await self._empty(key)
            if not remaining:
                await self._let_go(namespace)
                return
            await self._tell(namespace, remaining)
        self._queue.add_after(key, LOOK_AGAIN)

    async def _empty(self, name: str) -> dict[str, int]:
        """Delete everything; count what needs time, by resource."""
        remaining: dict[str, int] = {}
        for resource in CONTENT:
            left = await self._client.list(resource, name, limit=1)
            if left.items:
                await self._client.delete_collection(resource, name)
                left = await self._client.list(resource, name, limit=1)
            if left.items:
                remaining[resource.qualified] = len(left.items) + (left.remaining or 0)
        return remaining

    async def _let_go(self, namespace: core_pb2.Namespace) -> None:
        changed = copied(namespace)
        del changed.spec.finalizers[:]
        changed.spec.finalizers.extend(f for f in namespace.spec.finalizers if f != FINALIZER)
        try:
            await self._client.finalize(changed)
        except NotFound:
            return
        self._log.info("namespace is empty and goes", namespace=namespace.metadata.name)

    async def _tell(self, namespace: core_pb2.Namespace, remaining: Mapping[str, int]) -> None:
        changed = with_condition(namespace, content_condition(remaining, self._clock.time()))
        if changed is None:
            return
        try:
            await self._client.update_status(changed)
        except (Conflict, NotFound):
            return  # the namespace changed: its event brings the key back
