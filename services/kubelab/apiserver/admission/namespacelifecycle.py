"""NamespaceLifecycle: nothing is created in a namespace that does not exist or is going, and system namespaces stay
(https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#namespacelifecycle).

Upstream looks at a cache before the write. Here the write's transaction also compares the namespace's revision, so that
no object is ever created in a namespace that began to go at the same moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from google.protobuf.message import Message

from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import NAMESPACES, Resource
from kubelab.apiserver.admission.chain import AdmissionPlugin
from kubelab.apiserver.resources.core.namespaces import SYSTEM_NAMESPACES
from kubelab.apiserver.storage.store import KeyValue, Unchanged
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Entry
from kubelab.apiserver.watchcache.reflector import Reflector
from kubelab.auth.attributes import Attributes


class NamespaceLifecycle(AdmissionPlugin):
    name: ClassVar[str] = "NamespaceLifecycle"

    def __init__(self, reflector: Reflector, caches: Mapping[Resource[Message], ResourceCache]) -> None:
        self._reflector, self._caches = reflector, caches

    def handles(self, a: Attributes) -> bool:
        return a.verb == "delete" and a.resource == NAMESPACES.plural and a.group == NAMESPACES.group

    def validate(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        """Refuse to delete a system namespace."""
        del new, old
        if a.name in SYSTEM_NAMESPACES:
            raise errors.forbidden(a.resource, a.name, "this namespace may not be deleted")

    async def require_active(self, resource: Resource[Message], namespace: str, name: str) -> Unchanged:
        """Give the condition under which an object may be created in a namespace; NotFound, Forbidden."""
        cache = self._caches[NAMESPACES]
        entry = cache.get("", namespace)
        if entry is None or _terminating(entry):
            await self._reflector.fresh()
            entry = cache.get("", namespace)
        return self._condition(resource, namespace, name, entry)

    def still_active(
        self, resource: Resource[Message], namespace: str, name: str, current: KeyValue | None
    ) -> Unchanged:
        """Give the condition again, by the namespace as the store has it now; NotFound, Forbidden."""
        cache = self._caches[NAMESPACES]
        entry = cache.entry(current.key, current.value, current.mod_revision) if current else None
        return self._condition(resource, namespace, name, entry)

    def _condition(self, resource: Resource[Message], namespace: str, name: str, entry: Entry | None) -> Unchanged:
        if entry is None:
            raise errors.not_found(NAMESPACES.plural, namespace)
        if _terminating(entry):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = errors.Cause(
                "metadata.namespace", f"namespace {namespace} is being terminated", errors.NAMESPACE_TERMINATING
            )
            raise errors.forbidden(resource.plural, name, why, resource.group, [cause])
        return Unchanged(entry.key, entry.revision)


def _terminating(entry: Entry) -> bool:
    return entry.fields.get("status.phase") == "Terminating"
