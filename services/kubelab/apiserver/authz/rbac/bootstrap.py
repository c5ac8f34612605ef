"""The default roles and bindings of a cluster, each time that an api-server starts.

What is missing is written; what was changed gets back what it lacks, unless its annotation
``rbac.authorization.kubernetes.io/autoupdate`` is ``false``. The api-server writes them itself, so that nobody needs a
right for it, and before it answers the first request. Several api-servers may do so at the same time.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, cast

import structlog
from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.rbac.aggregation import aggregated
from kubelab.apimachinery.rbac.reconciliation import Operation, Reconciled, reconcile_binding, reconcile_role
from kubelab.apimachinery.rbac.rules import message_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.authz.rbac.defaults.objects import default_objects
from kubelab.apiserver.registry.writer import ObjectWriter
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Entry
from kubelab.apiserver.watchcache.reflector import Reflector

log = structlog.get_logger()

TRIES = 5  # at a conflict another api-server has written the same


class BootstrapRoles:
    """``done`` says whether all of them are there."""

    def __init__(
        self, writer: ObjectWriter, reflector: Reflector, caches: Mapping[Resource[Message], ResourceCache]
    ) -> None:
        self._writer, self._reflector, self._caches = writer, reflector, caches
        self.done = False

    async def prepare(self) -> None:
        """Write what is missing. Raises as the store does."""
        missing = [one for one in seeds() if self._entry(one) is None]
        if missing:
            await self._writer.seed(missing)
            await self._reflector.fresh()
            log.info("wrote default roles and bindings", number=len(missing))
        for one in default_objects():
            await self._reconcile(one)
        self.done = True

    def _entry(self, obj: Message) -> Entry | None:
        m = meta_of(obj)
        return self._caches[scheme.of_object(obj)].get(m.namespace, m.name)

    async def _reconcile(self, expected: Message) -> None:
        for _ in range(TRIES):
            result = reconciled(expected, self._entry(expected))
            if result.operation is Operation.NONE or result.protected:
                return
            m = meta_of(expected)
            log.info("reconciling a default role or binding", name=m.name, operation=result.operation.value)
            if await self._write(result, scheme.of_object(expected)):
                return
            await self._reflector.fresh()

    async def _write(self, result: Reconciled[Any], resource: Resource[Message]) -> bool:
        """Do what has to be done; False where another one was faster."""
        obj: Message = result.obj
        m = meta_of(obj)
        try:
            if result.operation is Operation.UPDATE:
                await self._writer.update(resource, m.namespace, m.name, obj)
                return True
            if result.operation is Operation.RECREATE:
                await self._writer.delete(resource, m.namespace, m.name, meta_pb2.DeleteOptions())
            await self._writer.create(resource, m.namespace, deep_copy(obj))
        except (errors.Conflict, errors.NotFound, errors.AlreadyExists):
            return False
        return True


def reconciled(expected: Message, entry: Entry | None) -> Reconciled[Any]:
    """Say what makes a stored role or binding hold what it should."""
    existing: Any = None
    if entry is not None:
        existing = type(expected).FromString(entry.raw)
        meta_of(existing).resourceVersion = str(entry.revision)
    if isinstance(expected, rbac_pb2.Role | rbac_pb2.ClusterRole):
        return reconcile_role(existing, cast(Any, expected))
    return reconcile_binding(existing, cast(Any, expected))


@functools.cache
def seeds() -> Sequence[Message]:
    """All default objects as a new cluster gets them: aggregated roles have the rules that the controller would write
    into them. Nobody changes them."""
    cluster_roles = {one.metadata.name: one for one in default_objects() if isinstance(one, rbac_pb2.ClusterRole)}
    for name in ("view", "edit", "admin"):  # each contains the one before
        role = cluster_roles[name] = deep_copy(cluster_roles[name])
        role.rules.extend(map(message_of, aggregated(role, cluster_roles.values())))
    return [
        cluster_roles[one.metadata.name] if isinstance(one, rbac_pb2.ClusterRole) else one for one in default_objects()
    ]
