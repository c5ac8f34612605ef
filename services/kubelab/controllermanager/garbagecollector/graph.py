"""Who owns whom: every object of the cluster by uid, and the references between them, both ways.

A reference is known from the dependent's side, so a dependent may name an owner that is not (or not yet) here. Each
change answers with the uids that must be looked at again; nothing is ever scanned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.message import Message

from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """What the collector needs to know of one object."""

    uid: str
    resource: Resource[Message]
    namespace: str
    name: str
    owners: tuple[meta_pb2.OwnerReference, ...]
    finalizers: frozenset[str]
    deleting: bool

    @staticmethod
    def of(resource: Resource[Message], obj: Message) -> Item:
        meta = meta_of(obj)
        return Item(
            uid=meta.uid,
            resource=resource,
            namespace=meta.namespace,
            name=meta.name,
            owners=tuple(meta.ownerReferences),
            finalizers=frozenset(meta.finalizers),
            deleting=meta.HasField("deletionTimestamp"),
        )

    @property
    def key(self) -> str:
        """Under which the informer's cache has it."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def in_foreground(self) -> bool:
        """It goes when its dependents are gone."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphaning(self) -> bool:
        """It goes when its dependents no longer name it."""
        return self.deleting and ORPHAN in self.finalizers

    def blocks(self, owner: str) -> bool:
        """Say whether an owner that is deleted in foreground must wait for this object."""
        return any(ref.uid == owner and ref.blockOwnerDeletion for ref in self.owners)

    def owned_by(self, owner: Item, ref: meta_pb2.OwnerReference) -> bool:
        """Say whether a reference of this object means ``owner``: kind, name and namespace must be right, not the uid
        alone; the version may be any of a custom kind's. What is in no namespace may own anything; anybody else only
        what is in the same one."""
        same = (ref.kind, ref.name, ref.uid) == (owner.resource.kind, owner.name, owner.uid)
        version = ref.apiVersion
        if owner.resource.message is CustomObject:  # of which one version of several is followed
            same = same and version.rpartition("/")[0] == owner.resource.group
        else:
            same = same and version == owner.resource.api_version
        return same and (not owner.namespace or owner.namespace == self.namespace)


class Graph:
    """Every object, and its dependents."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._dependents: defaultdict[str, set[str]] = defaultdict(set)

    def get(self, uid: str) -> Item | None:
        return self._items.get(uid)

    def of_resource(self, resource: Resource[Message]) -> list[str]:
        """Give the uids of all objects of a kind."""
        return [uid for uid, item in self._items.items() if item.resource is resource]

    def dependents(self, uid: str) -> list[Item]:
        """Give the objects that name this owner."""
        return [self._items[dependent] for dependent in self._dependents.get(uid, ())]

    def observe(self, item: Item) -> set[str]:
        """Take over an object as it is now; return the uids to look at."""
        old = self._items.get(item.uid)
        self._items[item.uid] = item
        before, after = _owner_uids(old), _owner_uids(item)
        for owner in before - after:
            self._drop(owner, item.uid)
        for owner in after - before:
            self._dependents[owner].add(item.uid)
        look = self._waiting(before | after)
        if item.orphaning:
            look.add(item.uid)
        if item.in_foreground:
            look.add(item.uid)
            if old is None or not old.in_foreground:
                look |= self._dependents.get(item.uid, set())
        if not item.deleting and (old is None or old.owners != item.owners) and not self._all_well(item):
            look.add(item.uid)
        return look

    def remove(self, uid: str) -> set[str]:
        """Forget an object that is gone; return the uids to look at: what it owned, and who waited for it."""
        item = self._items.pop(uid, None)
        if item is None:
            return set()
        owners = _owner_uids(item)
        for owner in owners:
            self._drop(owner, uid)
        return self._waiting(owners) | self._dependents.get(uid, set())

    def suspects(self) -> set[str]:
        """Give every uid that there may be something to do about."""
        return {
            uid
            for uid, item in self._items.items()
            if item.orphaning or item.in_foreground or not (item.deleting or self._all_well(item))
        }

    def _all_well(self, item: Item) -> bool:
        owners = [(self._items.get(ref.uid), ref) for ref in item.owners]
        return all(o is not None and not o.in_foreground and item.owned_by(o, ref) for o, ref in owners)

    def _waiting(self, owners: Iterable[str]) -> set[str]:
        return {uid for uid in owners if (owner := self._items.get(uid)) is not None and owner.in_foreground}

    def _drop(self, owner: str, dependent: str) -> None:
        self._dependents[owner].discard(dependent)
        if not self._dependents[owner]:
            del self._dependents[owner]

    def check_invariants(self) -> None:
        """Raise AssertionError when the two directions disagree."""
        forward = {(ref.uid, item.uid) for item in self._items.values() for ref in item.owners}
        assert forward == {(owner, uid) for owner, uids in self._dependents.items() for uid in uids}


def _owner_uids(item: Item | None) -> set[str]:
    return {ref.uid for ref in item.owners} if item is not None else set()
