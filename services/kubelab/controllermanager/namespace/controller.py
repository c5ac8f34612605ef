"""Empty a namespace that is being deleted, then let it go.

Its objects are deleted by collection and their own controllers and finalizers take them away; every one that goes
brings the namespace's key back. Only when a live list of every resource is empty, the finalizer ``kubernetes`` is
removed, and with the last finalizer the api-server removes the namespace.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.apimachinery.errors import ApiError, Conflict, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import is_terminating, meta_of
from kubelab.apimachinery.scheme import NAMESPACES, Resource
from kubelab.client.controller import Reconciler
from kubelab.client.informer import Informer
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.namespace.decide import RemainingContent, conditions, with_conditions
from kubelab.rpc import tracing

FINALIZER = "kubernetes"
LOOK_AGAIN = ExponentialBackoff(5.0, 60.0)  # should no event tell that an object is gone; later while the same remains

CONTENT: tuple[Resource[Message], ...] = tuple(
    sorted(
        (r for r in scheme.ALL if r.namespaced and "deletecollection" in r.verbs),
        # Who makes pods goes before the pods, and what is derived from others last.
        key=lambda r: (r is not scheme.REPLICATION_CONTROLLERS, r is scheme.EVENTS, r.qualified),
    )
)


class NamespaceController(Reconciler[str]):
    """Own the end of every namespace."""

    name = "namespace"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._clock = context.clock
        self._remained: dict[str, tuple[RemainingContent, int]] = {}  # what was there, and how often in a row
        self._namespaces = context.informers.of(NAMESPACES)
        self._namespaces.add_handler(on_add=self._changed, on_update=lambda _, new: self._changed(new))
        for resource, informer in context.informers.deletable():
            if resource.namespaced:
                informer.add_handler(on_delete=self._content_gone)
        self._custom = context.informers.custom_kinds
        self._custom.on_change(self._follow_custom, lambda _: self.enqueue_all())

    def _follow_custom(self, resource: Resource[Message], informer: Informer[Any]) -> None:
        if resource.namespaced:
            informer.add_handler(on_delete=self._content_gone)

    def enqueue_all(self) -> None:
        """Look at every namespace, for what an earlier lead left half done."""
        for namespace in self._namespaces.list():
            self._changed(namespace)

    def _changed(self, namespace: core_pb2.Namespace) -> None:
        if is_terminating(namespace):
            self._queue.add(namespace.metadata.name)

    def _content_gone(self, obj: Message) -> None:
        namespace = self._namespaces.get(meta_of(obj).namespace)
        if namespace is not None:
            self._changed(namespace)

    async def sync(self, key: str) -> None:
        """Delete what is in one namespace, or the finalizer when nothing is."""
        namespace = self._namespaces.get(key)
        if namespace is None or not is_terminating(namespace) or FINALIZER not in namespace.spec.finalizers:
            self._remained.pop(key, None)
            return
        with tracing.cause(namespace.metadata.resourceVersion):
            remains = await self._empty(key)
            if not remains.objects and not remains.failures:
                await self._let_go(namespace)
                return
            await self._tell(namespace, remains)
        if remains.failures:
            raise remains.failures[0]  # the queue's business
        before, times = self._remained.get(key, (remains, 0))
        self._remained[key] = remains, times + 1 if remains == before else 1
        self._queue.add_after(key, LOOK_AGAIN.longest(self._remained[key][1]))

    async def _empty(self, name: str) -> RemainingContent:
        """Delete everything; tell what needs time, and what could not be deleted."""
        remains = RemainingContent()
        custom = (r for r in self._custom.resources if r.namespaced)
        for resource in (*custom, *CONTENT):
            try:
                await self._empty_of(resource, name, remains)
            except ApiError as err:  # the others go meanwhile
                remains.failures.append(err)
        return remains

    async def _empty_of(self, resource: Resource[Message], name: str, remains: RemainingContent) -> None:
        if not (await self._client.list(resource, name, limit=1)).items:
            return
        await self._client.delete_collection(resource, name, propagation_policy="Background")
        async for page in self._client.pages(resource, name):
            for obj in page.items:
                remains.objects[f"{resource.plural}.{resource.group}"] += 1
                remains.finalizers.update(meta_of(obj).finalizers)

    async def _let_go(self, namespace: core_pb2.Namespace) -> None:
        changed = deep_copy(namespace)
        del changed.spec.finalizers[:]
        changed.spec.finalizers.extend(f for f in namespace.spec.finalizers if f != FINALIZER)
        try:
            await self._client.finalize(changed)
        except NotFound:
            return
        self._log.info("namespace is empty and goes", namespace=namespace.metadata.name)

    async def _tell(self, namespace: core_pb2.Namespace, remains: RemainingContent) -> None:
        changed = with_conditions(namespace, conditions(remains), self._clock.time())
        if changed is None:
            return
        try:
            await self._client.update_status(changed)
        except (Conflict, NotFound):
            return  # the namespace changed: its event brings the key back
