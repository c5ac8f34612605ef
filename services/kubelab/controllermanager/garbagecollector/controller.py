"""Delete what has lost its owner, let go what waited for its dependents, and free what was orphaned on purpose.

One key is one uid. The graph follows the informers; an owner that the graph does not know is asked for live before
anything is deleted on its account. A deletion names the version that it was decided on: on a stale view it is refused
and decided again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.errors import NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.client.controller import Reconciler
from kubelab.client.informer import Informer
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.garbagecollector.decide import Delete, DropOwners, Owner, judge
from kubelab.controllermanager.garbagecollector.graph import FOREGROUND, ORPHAN, Graph, Item
from kubelab.rpc import tracing

REMEMBERED = 10_000  # owners that are known to be absent; a uid never comes back


class GarbageCollector(Reconciler[str]):
    """Deletes objects whose owners are gone."""

    name = "garbagecollector"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._recorder = context.recorder("garbage-collector-controller")
        self._graph = Graph()
        self._absent: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._caches: dict[str, Informer[Any]] = {}
        for resource, informer in context.informers.deletable():
            self._caches[resource.qualified] = informer
            self._follow(resource, informer)
        self._custom = context.informers.custom_kinds
        self._custom.on_change(self._follow_custom, self._forget_custom)

    def _follow_custom(self, resource: Resource[Message], informer: Informer[Any]) -> None:
        """Follow a kind that a definition adds, and look again at what it may own."""
        self._caches[resource.qualified] = informer
        self._follow(resource, informer)
        self._look(self._graph.suspects())

    def _forget_custom(self, resource: Resource[Message]) -> None:
        """Forget a kind that is gone, and its objects with it."""
        self._caches.pop(resource.qualified, None)
        for uid in self._graph.of_resource(resource):
            self._remember_absent(uid)
            self._look(self._graph.remove(uid))

    def _follow(self, resource: Resource[Message], informer: Informer[Any]) -> None:
        def observe(obj: Message) -> None:
            self._look(self._graph.observe(Item.of(resource, obj)))

        def update(_: Message, new: Message) -> None:
            observe(new)

        def remove(obj: Message) -> None:
            uid = meta_of(obj).uid
            self._remember_absent(uid)
            self._look(self._graph.remove(uid))

        informer.add_handler(on_add=observe, on_update=update, on_delete=remove)

    def _look(self, uids: set[str]) -> None:
        for uid in uids:
            self._queue.add(uid)

    def enqueue_all(self) -> None:
        """Look at every object that an earlier lead left half done."""
        self._look(self._graph.suspects())

    async def sync(self, key: str) -> None:
        """Look at one object; its key is the uid."""
        item = self._graph.get(key)
        if item is None:
            return
        cache = self._caches.get(item.resource.qualified)
        obj = cache.get(item.key) if cache is not None else None
        if obj is None or meta_of(obj).uid != key:
            return  # its deletion is on the way
        with tracing.cause(meta_of(obj).resourceVersion):
            if item.orphaning:
                await self._orphan_dependents(item, obj)
            elif item.in_foreground:
                await self._wait_for_dependents(item, obj)
            else:
                await self._judge(item, obj)

    async def _judge(self, item: Item, obj: Message) -> None:
        if item.deleting or not item.owners:
            return
        owners: dict[str, Owner] = {}
        for ref in item.owners:
            if owners.get(ref.uid) is not Owner.SOLID:  # of two references with one uid, one may be right
                owners[ref.uid] = await self._state_of(ref, item, obj)
        verdict = judge(item, owners, self._graph.dependents(item.uid))
        if isinstance(verdict, DropOwners):
            await self._update(_without_owners(obj, verdict.uids))
        elif isinstance(verdict, Delete):
            if verdict.unblock:
                obj = await self._update(_unblocking(obj))
            await self._delete(item, obj, verdict.policy)

    async def _state_of(self, ref: meta_pb2.OwnerReference, item: Item, obj: Message) -> Owner:
        reference = (ref.uid, ref.apiVersion, ref.kind, ref.name, item.namespace)
        if (ref.uid,) in self._absent or reference in self._absent:
            return Owner.ABSENT
        owner = self._graph.get(ref.uid)
        if owner is not None and item.owned_by(owner, ref):
            return Owner.WAITING if owner.in_foreground else Owner.SOLID
        if owner is not None and owner.namespace not in ("", item.namespace):
            self._tell_of_namespace(ref, item, obj)
        resource = self._custom.by_kind(ref.apiVersion, ref.kind) or scheme.by_kind(ref.apiVersion, ref.kind)
        if resource is None or (resource.namespaced and not item.namespace):
            return Owner.SOLID  # nothing that we could ask for: better keep than lose
        try:
            live = await self._client.get(resource, ref.name, item.namespace if resource.namespaced else "")
        except NotFound:
            self._remember_absent(*reference)
            return Owner.ABSENT
        if meta_of(live).uid != ref.uid:
            self._remember_absent(*reference)
            return Owner.ABSENT
        return Owner.WAITING if Item.of(resource, live).in_foreground else Owner.SOLID

    def _tell_of_namespace(self, ref: meta_pb2.OwnerReference, item: Item, obj: Message) -> None:
        """Say in upstream's words why an object that names a living owner is taken for one without."""
        named = f"[{ref.apiVersion}/{ref.kind}, namespace: {item.namespace}, name: {ref.name}, uid: {ref.uid}]"
        message = f'ownerRef {named} does not exist in namespace "{item.namespace}"'
        self._recorder.event(obj, "Warning", "OwnerRefInvalidNamespace", message)

    def _remember_absent(self, *what: str) -> None:
        """Remember the uid of an object that is gone, or all parts of a reference that names no object."""
        self._absent[what] = None
        self._absent.move_to_end(what)
        if len(self._absent) > REMEMBERED:
            self._absent.popitem(last=False)

    async def _delete(self, item: Item, obj: Message, policy: str) -> None:
        try:
            await self._client.delete(
                item.resource,
                item.name,
                item.namespace,
                uid=item.uid,
                resource_version=meta_of(obj).resourceVersion,
                propagation_policy=policy,
            )
        except NotFound:
            return
        self._log.info("collected", resource=item.resource.qualified, key=item.key, propagation=policy)

    async def _wait_for_dependents(self, item: Item, obj: Message) -> None:
        """Delete what blocks the object; when nothing does, let it go."""
        blocking = [dependent for dependent in self._graph.dependents(item.uid) if dependent.blocks(item.uid)]
        if not blocking:
            await self._update(_without_finalizer(obj, FOREGROUND))
        for dependent in blocking:
            if not dependent.deleting:
                self._queue.add(dependent.uid)

    async def _orphan_dependents(self, item: Item, obj: Message) -> None:
        for dependent in self._graph.dependents(item.uid):
            current = self._caches[dependent.resource.qualified].get(dependent.key)
            if current is not None and meta_of(current).uid == dependent.uid:
                await self._update(_without_owners(current, frozenset({item.uid})))
        await self._update(_without_finalizer(obj, ORPHAN))

    async def _update(self, obj: Message) -> Message:
        """Write an object and return what is stored; one that is gone is returned as it was."""
        try:
            return await self._client.update(obj)
        except NotFound:
            return obj

    def check_invariants(self) -> None:
        """Raise AssertionError when the graph contradicts itself."""
        self._graph.check_invariants()


def _without_owners(obj: Message, uids: frozenset[str]) -> Message:
    changed = deep_copy(obj)
    meta = meta_of(changed)
    kept = [ref for ref in meta_of(obj).ownerReferences if ref.uid not in uids]
    del meta.ownerReferences[:]
    meta.ownerReferences.extend(kept)
    return changed


def _unblocking(obj: Message) -> Message:
    changed = deep_copy(obj)
    for ref in meta_of(changed).ownerReferences:
        ref.blockOwnerDeletion = False
    return changed


def _without_finalizer(obj: Message, finalizer: str) -> Message:
    changed = deep_copy(obj)
    meta = meta_of(changed)
    kept = [name for name in meta.finalizers if name != finalizer]
    del meta.finalizers[:]
    meta.finalizers.extend(kept)
    return changed
