"""Keep the status of every ResourceQuota equal to what its namespace holds.

One key is one quota. The api-server charges new objects in the transaction that creates them. Everything is counted
anew here where an object went, a pod ended, or a quota's bounds changed, and every five minutes. A count is written on
the revision of the quota that was read before it, and no cache that is older than that revision is counted from. An
object that is created meanwhile changes the quota's revision, so that the count is refused and made again.
"""

from __future__ import annotations

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2, limits_pb2
from kubelab.apimachinery.core import quota
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.apimachinery.errors import Conflict, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import key_of, meta_of
from kubelab.apimachinery.scheme import PODS, RESOURCE_QUOTAS, SERVICES, Resource
from kubelab.client.controller import Reconciler
from kubelab.controllermanager.context import ControllerContext

RESYNC = 300.0  # seconds, upstream's --resource-quota-sync-period
BATCH = 0.05  # seconds in which what goes together is counted once
AGAIN = 0.1  # seconds after a count that was overtaken


class ResourceQuotaController(Reconciler[str]):
    """Own the status of quotas."""

    name = "resourcequota"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._quotas = context.informers.of(RESOURCE_QUOTAS)
        self._quotas.add_handler(on_add=self._enqueue, on_update=lambda _, new: self._quota_changed(new))
        self._informers = {r: i for r, i in context.informers.deletable() if quota.is_tracked(r)}
        for informer in self._informers.values():
            informer.add_handler(on_delete=self._content_changed)
        self._informers[PODS].add_handler(on_update=self._pod_changed)
        self._informers[SERVICES].add_handler(on_update=lambda _, new: self._content_changed(new))

    def enqueue_all(self) -> None:
        """Count for every quota."""
        for one in self._quotas.list():
            self._enqueue(one)

    def _enqueue(self, one: limits_pb2.ResourceQuota) -> None:
        self._queue.add(key_of(one))

    def _quota_changed(self, one: limits_pb2.ResourceQuota) -> None:
        if quota.amounts(one.spec.hard) != quota.amounts(one.status.hard):
            self._enqueue(one)

    def _pod_changed(self, old: core_pb2.Pod, new: core_pb2.Pod) -> None:
        if is_terminal(new) and not is_terminal(old):
            self._content_changed(new)

    def _content_changed(self, obj: Message) -> None:
        namespace = meta_of(obj).namespace
        for one in self._quotas.list(namespace):
            self._queue.add_after(key_of(one), BATCH)

    async def sync(self, key: str) -> None:
        """Count what of one quota is used, and write it."""
        if self._quotas.get(key) is None:
            return
        namespace, _, name = key.partition("/")
        try:
            current = await self._client.get(RESOURCE_QUOTAS, name, namespace)
        except NotFound:
            return
        changed = deep_copy(current)
        used = await self._used(current)
        changed.status.Clear()
        for resource, amount in current.spec.hard.items():
            changed.status.hard[resource].CopyFrom(amount)
        for resource, amount in used.items():
            changed.status.used[resource].string = amount
        if changed.status != current.status:
            try:
                await self._client.update_status(changed)
            except Conflict:
                self._queue.add_after(key, AGAIN)
                return
            except NotFound:
                return
        self._queue.add_after(key, RESYNC)

    async def _used(self, one: limits_pb2.ResourceQuota) -> quota.Usage:
        revision = int(one.metadata.resourceVersion)
        total: quota.Usage = {}
        for resource in self._informers:
            names = [name for name in one.spec.hard if quota.tracks(resource, name)]
            if not names:
                continue
            total |= dict.fromkeys(names, "0")
            for obj in await self._objects(resource, one.metadata.namespace, revision):
                if quota.matches(one, resource, obj):
                    taken = quota.usage(resource, obj)
                    total = quota.add(total, {name: taken[name] for name in names if name in taken})
        return total

    async def _objects(self, resource: Resource[Message], namespace: str, revision: int) -> list[Message]:
        """What a namespace holds of a resource, no older than a revision: from the cache, if that is so far."""
        informer = self._informers[resource]
        if int(informer.last_sync_resource_version or 0) >= revision:
            return informer.list(namespace)
        return [obj async for page in self._client.pages(resource, namespace) for obj in page.items]
