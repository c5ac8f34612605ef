"""ResourceQuota: no object is created that takes more of a namespace than its quotas allow
(https://kubernetes.io/docs/concepts/policy/resource-quotas/).

Upstream writes the new usage before the object, and counts again where that fails. Here one transaction writes both: it
compares the quota's revision, so that of two objects that want the last place only one is created. A quota that has no
usage yet for what an object takes is written unchanged, in the same transaction: whoever counts meanwhile finds its
revision gone and counts again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar, NamedTuple
from weakref import WeakValueDictionary

from google.protobuf.message import Message

from kubelab.api.core.v1 import limits_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.core import quota
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import PODS, RESOURCE_QUOTAS, SERVICES, Resource
from kubelab.apiserver.admission.chain import AdmissionPlugin
from kubelab.apiserver.resources.claims import NO_CLAIMS, Claims
from kubelab.apiserver.resources.table import Resources
from kubelab.apiserver.storage.store import KeyValue, Operation, Put, Unchanged
from kubelab.apiserver.watchcache.changes import Selection
from kubelab.auth.attributes import Attributes


class _Stored(NamedTuple):
    """A quota as the store had it at a revision."""

    key: str
    revision: int
    quota: limits_pb2.ResourceQuota


class ResourceQuota(AdmissionPlugin):
    """Charges what a new object takes, and what a changed service takes more."""

    name: ClassVar[str] = "ResourceQuota"

    def __init__(self, resources: Resources) -> None:
        self._resources, self._cache = resources, resources.caches[RESOURCE_QUOTAS]
        self._known: dict[str, tuple[int, bytes | None]] = {}  # since which revision what a key holds, as writes saw it
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def handles(self, a: Attributes) -> bool:
        if a.subresource or not a.namespace:
            return False
        changed = a.verb == "update" and a.resource == SERVICES.plural and not a.group
        return (a.verb == "create" or changed) and any(self._cache.select(Selection(a.namespace)))

    def lock(self, a: Attributes) -> asyncio.Lock | None:
        """Let one object of a namespace after the other be charged: each changes the quota that the next one reads."""
        lock = self._locks.get(a.namespace)
        if lock is None:
            lock = self._locks[a.namespace] = asyncio.Lock()
        return lock

    def learn(self, current: Mapping[str, KeyValue | None], revision: int) -> None:
        """Note what quotas are after a transaction, before the cache has it."""
        for key, kv in current.items():
            if key.startswith(self._cache.prefix):
                self._known[key] = (kv.mod_revision, kv.value) if kv is not None else (revision, None)
        for key in [key for key in self._known if key not in self._cache.entries]:
            del self._known[key]

    def reserve(self, a: Attributes, new: Message, old: Message | None) -> Claims:
        """Charge the quotas of the object's namespace; Forbidden where one has not enough left."""
        resource = self._resources.by_plural(a.group, a.resource)
        if resource is None or not quota.is_tracked(resource):
            return NO_CLAIMS
        taken = quota.usage(resource, new)
        if old is not None:
            taken = _more(taken, quota.usage(resource, old))
        conditions: list[Unchanged] = []
        operations: list[Operation] = []
        for stored in self._quotas(a.namespace):
            if not quota.matches(stored.quota, resource, new):
                continue
            used = _charged(a, resource, new, stored.quota, taken)
            if used is None:
                continue
            conditions.append(Unchanged(stored.key, stored.revision))
            operations.append(Put(stored.key, self._with_usage(stored.quota, used)))
        return Claims(tuple(conditions), tuple(operations)) if conditions else NO_CLAIMS

    def _quotas(self, namespace: str) -> list[_Stored]:
        """The namespace's quotas, each as new as it is known: by the cache, or by a transaction that was refused."""
        quotas: list[_Stored] = []
        for entry in self._cache.select(Selection(namespace)):
            key, revision, raw = entry.key, entry.revision, entry.raw
            known, value = self._known.get(key, (0, None))
            if known > revision:
                if value is None:
                    continue  # it is gone
                revision, raw = known, self._cache.kind.envelope.open(value)
            elif known:
                del self._known[key]
            quotas.append(_Stored(key, revision, limits_pb2.ResourceQuota.FromString(raw)))
        return quotas

    def _with_usage(self, one: limits_pb2.ResourceQuota, used: Mapping[str, str]) -> bytes:
        for name, amount in used.items():
            one.status.used[name].string = amount
        return self._cache.kind.envelope.seal(one.SerializeToString(deterministic=True))


def _charged(
    a: Attributes, resource: Resource[Message], obj: Message, one: limits_pb2.ResourceQuota, taken: quota.Usage
) -> quota.Usage | None:
    """What is used of a quota with the object; None where the object takes nothing of it. Forbidden."""
    hard, used = quota.amounts(one.status.hard), quota.amounts(one.status.used)
    tracked = [name for name in hard if quota.tracks(resource, name)]
    refuse = _Refusal(a, meta_of(obj).name, one.metadata.name)
    if resource is PODS and (unsaid := quota.missing(obj, tracked)):  # pyright: ignore[reportArgumentType]  of this resource
        which = "; ".join(f"{name} for: {','.join(containers)}" for name, containers in unsaid.items())
        raise refuse(f"failed quota: {one.metadata.name}: must specify {which}")
    if unknown := [name for name in tracked if name not in used]:
        raise refuse(f"status unknown for quota: {one.metadata.name}, resources: {','.join(sorted(unknown))}")
    wanted = {name: amount for name, amount in taken.items() if name in tracked and _is_some(amount)}
    total = quota.add({name: used[name] for name in wanted}, wanted)
    if over := quota.exceeded(total, hard):
        raise refuse(
            f"exceeded quota: {one.metadata.name}, requested: {_shown(wanted, over)}, used: {_shown(used, over)}, "
            f"limited: {_shown(hard, over)}"
        )
    uncounted = any(name in one.spec.hard and name not in hard for name in taken if quota.tracks(resource, name))
    return total if total or uncounted else None


class _Refusal(NamedTuple):
    attributes: Attributes
    name: str
    quota: str

    def __call__(self, why: str) -> errors.Forbidden:
        return errors.forbidden(self.attributes.resource, self.name, why, self.attributes.group)


def _more(new: quota.Usage, old: quota.Usage) -> quota.Usage:
    """What an object takes more than before: whole numbers, for only services are charged when they change."""
    grown = {name: int(amount) - int(old.get(name, "0")) for name, amount in new.items()}
    return {name: str(amount) for name, amount in grown.items() if amount > 0}


def _is_some(amount: str) -> bool:
    return quota.exceeded({"": amount}, {"": "0"}) != []


def _shown(amounts: Mapping[str, str], names: list[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names)
