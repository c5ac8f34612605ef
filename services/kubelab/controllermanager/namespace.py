"""Empty a namespace that is being deleted, then let it go.

Its objects are deleted by collection and their own controllers and finalizers take them away; every one that goes
brings the namespace's key back. Only when a live list of every resource is empty, the finalizer ``kubernetes`` is
removed, and with the last finalizer the api-server removes the namespace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.core.conditions import set_condition
from kubelab.apimachinery.errors import ApiError, Conflict, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import is_terminating, meta_of
from kubelab.apimachinery.scheme import NAMESPACES, Resource
from kubelab.client.controller import Reconciler
from kubelab.controllermanager.context import ControllerContext
from kubelab.rpc import tracing

FINALIZER = "kubernetes"
LOOK_AGAIN = 5.0  # seconds, should no event tell that the last object is gone

CONTENT: tuple[Resource[Message], ...] = tuple(
    sorted(
        (r for r in scheme.ALL if r.namespaced and "deletecollection" in r.verbs),
        # Who makes pods goes before the pods, and what is derived from others last.
        key=lambda r: (r is not scheme.REPLICATION_CONTROLLERS, r is scheme.EVENTS, r.qualified),
    )
)


@dataclass(slots=True)
class Remains:
    """What an attempt to empty a namespace left: objects by ``resource.group`` and by finalizer, and why not everything
    could be deleted."""

    objects: Counter[str] = field(default_factory=Counter[str])
    finalizers: Counter[str] = field(default_factory=Counter[str])
    failures: list[ApiError] = field(default_factory=list[ApiError])


def conditions(remains: Remains) -> list[core_pb2.NamespaceCondition]:
    """Say in upstream's words how far the deletion came (``status_condition_utils.go``).

    The first two never fail here: which resources there are is known without asking.
    """
    objects = [f"{name} has {count} resource instances" for name, count in remains.objects.items()]
    finalizers = [f"{name} in {count} resource instances" for name, count in remains.finalizers.items()]
    failures = [failure.message for failure in remains.failures]
    counted = f"Failed to delete all resource types, {len(failures)} remaining"
    return [
        _fine("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
        _fine(
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        _told("NamespaceDeletionContentFailure", "ContentDeletionFailed", counted, failures)
        or _fine(
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        _told("NamespaceContentRemaining", "SomeResourcesRemain", "Some resources are remaining", objects)
        or _fine("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
        _told(
            "NamespaceFinalizersRemaining",
            "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining",
            finalizers,
        )
        or _fine("NamespaceFinalizersRemaining", "ContentRemoved", "All content successfully removed"),
    ]


def _fine(kind: str, reason: str, message: str) -> core_pb2.NamespaceCondition:
    return core_pb2.NamespaceCondition(type=kind, status="False", reason=reason, message=message)


def _told(kind: str, reason: str, what: str, details: Iterable[str]) -> core_pb2.NamespaceCondition | None:
    listed = ", ".join(sorted(details))
    if not listed:
        return None
    return core_pb2.NamespaceCondition(type=kind, status="True", reason=reason, message=f"{what}: {listed}")


def with_conditions(
    namespace: core_pb2.Namespace, told: Iterable[core_pb2.NamespaceCondition], now: float
) -> core_pb2.Namespace | None:
    """Copy a namespace with conditions; None when it says so already. ``now`` is wall time in seconds."""
    changed = deep_copy(namespace)
    for condition in told:
        kind, status = condition.type, condition.status
        set_condition(changed.status.conditions, kind, status, now, reason=condition.reason, message=condition.message)
    return None if changed == namespace else changed


class NamespaceController(Reconciler[str]):
    """Own the end of every namespace."""

    name = "namespace"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._clock = context.clock
        self._namespaces = context.informers.of(NAMESPACES)
        self._namespaces.add_handler(on_add=self._changed, on_update=lambda _, new: self._changed(new))
        for resource, informer in context.informers.deletable():
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
            return
        with tracing.cause(namespace.metadata.resourceVersion):
            remains = await self._empty(key)
            if not remains.objects and not remains.failures:
                await self._let_go(namespace)
                return
            await self._tell(namespace, remains)
        if remains.failures:
            raise remains.failures[0]  # the queue's business
        self._queue.add_after(key, LOOK_AGAIN)

    async def _empty(self, name: str) -> Remains:
        """Delete everything; tell what needs time, and what could not be deleted."""
        remains = Remains()
        for resource in CONTENT:
            try:
                await self._empty_of(resource, name, remains)
            except ApiError as err:  # the others go meanwhile
                remains.failures.append(err)
        return remains

    async def _empty_of(self, resource: Resource[Message], name: str, remains: Remains) -> None:
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

    async def _tell(self, namespace: core_pb2.Namespace, remains: Remains) -> None:
        changed = with_conditions(namespace, conditions(remains), self._clock.time())
        if changed is None:
            return
        try:
            await self._client.update_status(changed)
        except (Conflict, NotFound):
            return  # the namespace changed: its event brings the key back
