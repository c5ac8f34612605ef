"""The table of all kinds. What a server can do with a kind follows from its line here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from google.protobuf.message import Message

from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.resources.admissionregistration import (
    mutatingwebhookconfigurations,
    validatingadmissionpolicies,
    validatingadmissionpolicybindings,
    validatingwebhookconfigurations,
)
from kubelab.apiserver.resources.apiextensions import customresourcedefinitions
from kubelab.apiserver.resources.apps import controllerrevisions, daemonsets, deployments, replicasets, statefulsets
from kubelab.apiserver.resources.authentication import selfsubjectreviews, tokenreviews
from kubelab.apiserver.resources.authorization import accessreviews, rulesreviews
from kubelab.apiserver.resources.autoscaling import horizontalpodautoscalers
from kubelab.apiserver.resources.batch import cronjobs, jobs
from kubelab.apiserver.resources.certificates import certificatesigningrequests
from kubelab.apiserver.resources.coordination import leases
from kubelab.apiserver.resources.core import (
    bindings,
    componentstatuses,
    configmaps,
    endpoints,
    events,
    limitranges,
    namespaces,
    nodes,
    pods,
    replicationcontrollers,
    resourcequotas,
    secrets,
    serviceaccounts,
    services,
)
from kubelab.apiserver.resources.discovery import endpointslices
from kubelab.apiserver.resources.flowcontrol import flowschemas, prioritylevelconfigurations
from kubelab.apiserver.resources.networking import ingressclasses, ingresses, networkpolicies
from kubelab.apiserver.resources.policy import poddisruptionbudgets
from kubelab.apiserver.resources.rbac import clusterrolebindings, clusterroles, rolebindings, roles
from kubelab.apiserver.resources.scheduling import priorityclasses
from kubelab.apiserver.resources.storage import PassedThrough, ResourceStorage, Settings
from kubelab.apiserver.resources.subresource import AUDIT, Subresource
from kubelab.apiserver.storage.wire import Envelope
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Kind
from kubelab.apiserver.watchcache.history import History

_KINDS = (
    configmaps.storage,
    endpoints.storage,
    events.storage,
    limitranges.storage,
    namespaces.storage,
    nodes.storage,
    pods.storage,
    replicationcontrollers.storage,
    resourcequotas.storage,
    secrets.storage,
    serviceaccounts.storage,
    services.storage,
    deployments.storage,
    replicasets.storage,
    daemonsets.storage,
    statefulsets.storage,
    controllerrevisions.storage,
    leases.storage,
    jobs.storage,
    endpointslices.storage,
    horizontalpodautoscalers.storage,  # the preferred version first
    horizontalpodautoscalers.first_version,
    ingressclasses.storage,
    ingresses.storage,
    networkpolicies.storage,
    cronjobs.storage,
    certificatesigningrequests.storage,
    poddisruptionbudgets.storage,
    clusterrolebindings.storage,
    clusterroles.storage,
    rolebindings.storage,
    roles.storage,
    priorityclasses.storage,
    flowschemas.storage,
    prioritylevelconfigurations.storage,
    mutatingwebhookconfigurations.storage,
    validatingwebhookconfigurations.storage,
    validatingadmissionpolicies.storage,
    validatingadmissionpolicybindings.storage,
    customresourcedefinitions.storage,
)
_PASSED_THROUGH = (bindings.RESOURCE, selfsubjectreviews.RESOURCE, rulesreviews.RESOURCE, *accessreviews.RESOURCES)
_EVERY_KINDS = {"audit": AUDIT}  # subresources


def builtin(settings: Settings | None = None) -> list[ResourceStorage]:
    """Make the kinds that every server has."""
    return [make(settings or Settings()) for make in _KINDS]


def answered(settings: Settings | None = None) -> list[PassedThrough]:
    """Make the resources that every server answers and does not store."""
    settings = settings or Settings()
    return [*_PASSED_THROUGH, tokenreviews.passed_through(settings), componentstatuses.passed_through(settings)]


class Resources:
    """The kinds that one server serves, each with its cache; one history for all. Keys are resources."""

    def __init__(
        self,
        storages: Iterable[ResourceStorage],
        history: History | None = None,
        passed_through: Sequence[PassedThrough] | None = None,
    ) -> None:
        self._history = history or History()
        if passed_through is None:
            passed_through = answered()
        self.expected: Callable[[str, str], Awaitable[bool]] | None = None
        """Waits for a group's resource that is about to be served; says whether it is."""
        self._served: dict[tuple[str, str], tuple[Resource[Message], ...]] = {}
        for p in passed_through:
            self._serve(p.resource)
        self._actions = {p.resource: p.actions for p in passed_through}
        self.rows = {p.resource: p.row for p in passed_through if p.row is not None}
        """What prints a resource that is not stored."""
        self._storages: dict[Resource[Message], ResourceStorage] = {}
        self._caches: dict[Resource[Message], ResourceCache] = {}
        for storage in storages:
            self.add(storage, self.make_cache(storage))

    @property
    def served(self) -> Sequence[Resource[Message]]:
        """Every resource, in the order of discovery."""
        return [one for versions in self._served.values() for one in versions]

    @property
    def storages(self) -> Mapping[Resource[Message], ResourceStorage]:
        return self._storages

    @property
    def caches(self) -> Mapping[Resource[Message], ResourceCache]:
        return self._caches

    def by_plural(self, group: str, plural: str, version: str = "") -> Resource[Message] | None:
        """Find ``("", "pods")``, as a request names it; without a version the preferred one."""
        versions = self._served.get((group, plural))
        if versions is None:
            return None
        if not version:
            return versions[0]
        return next((one for one in versions if one.version == version), None)

    def versions(self, resource: Resource[Message]) -> Sequence[Resource[Message]]:
        """Give the versions of a kind that are served, the preferred one first."""
        return self._served.get((resource.group, resource.plural), ())

    async def find(self, group: str, plural: str, version: str = "") -> Resource[Message] | None:
        """The same; a kind that was just added is waited for."""
        found = self.by_plural(group, plural, version)
        if found is None and self.expected is not None and await self.expected(group, plural):
            found = self.by_plural(group, plural, version)
        return found

    def actions(self, resource: Resource[Message]) -> Subresource | None:
        """What a resource does that is only passed through; None for one that is stored."""
        return self._actions.get(resource)

    def subresource(self, resource: Resource[Message], name: str) -> Subresource | None:
        """Find a subresource by its name; None where the kind has none of that name."""
        storage = self._storages.get(resource)
        return (storage.subresources.get(name) if storage is not None else None) or _EVERY_KINDS.get(name)

    def subresource_verbs(self, resource: Resource[Message]) -> Mapping[str, tuple[str, ...]]:
        """Give the verbs of each subresource that a kind has for its own."""
        storage = self._storages.get(resource)
        return {name: part.verbs for name, part in storage.subresources.items()} if storage is not None else {}

    def make_cache(self, storage: ResourceStorage, replaced: Sequence[Resource[Message]] = ()) -> ResourceCache:
        """Make an empty cache for a kind that is not served yet; ValueError where its name or its place is taken."""
        r = storage.resource
        present = self.by_plural(r.group, r.plural, r.version)
        if present is not None and present not in replaced:
            raise ValueError(f"{r.qualified} is served already")
        shared = (cache for cache in self._caches.values() if cache.prefix == storage.prefix)
        if any(not _same_kind(cache.kind.resource, r) for cache in shared):
            raise ValueError(f"{r.qualified}: another kind is stored in {storage.prefix}")
        kind = Kind(r, storage.envelope or Envelope(r), storage.strategy.selectable_fields)
        return ResourceCache(kind, storage.prefix, self._history)

    def add(self, storage: ResourceStorage, cache: ResourceCache) -> None:
        """Serve a kind from now on, unless it is only kept."""
        r = storage.resource
        self._storages[r], self._caches[r] = storage, cache
        if storage.served:
            self._serve(r)

    def retire(self, resource: Resource[Message]) -> None:
        """Serve a version of a kind to no new request; those under way still find it."""
        key = resource.group, resource.plural
        left = tuple(one for one in self._served.get(key, ()) if one is not resource)
        if left:
            self._served[key] = left
        else:
            self._served.pop(key, None)

    def forget(self, resource: Resource[Message]) -> None:
        """Drop what is kept of a retired one, once its requests are over."""
        self._storages.pop(resource, None)
        cache = self._caches.pop(resource, None)
        if cache is not None:
            self._history.drop(cache.ring)

    def _serve(self, resource: Resource[Message]) -> None:
        key = resource.group, resource.plural
        self._served[key] = (*self._served.get(key, ()), resource)


def _same_kind(one: Resource[Message], other: Resource[Message]) -> bool:
    """Whether two resources are versions of one kind."""
    return (one.group, one.plural) == (other.group, other.plural)
