"""What becomes of an object, given what became of its owners: a pure function.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kubelab.controllermanager.garbagecollector.graph import FOREGROUND, ORPHAN, Item


class Owner(enum.Enum):
    """What became of an owner."""

    SOLID = "it is there, and stays"
    ABSENT = "it is not there, or another object has its name"
    WAITING = "it is being deleted in foreground: it waits for its dependents"


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class DropOwners:
    """The object stays; it should no longer name these owners."""

    uids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Delete:
    """The object goes; ``policy`` says what becomes of its own dependents. ``unblock``: but first its owners need not
    wait for it any more, for it waits for one of them, in a circle."""

    policy: str
    unblock: bool = False


def judge(item: Item, owners: Mapping[str, Owner], dependents: Iterable[Item]) -> Keep | DropOwners | Delete:
    """Decide about one object. ``owners`` is by uid, for every reference of the object."""
    if not item.owners or item.deleting:
        return Keep()
    going = frozenset(uid for uid, state in owners.items() if state is not Owner.SOLID)
    if not going:
        return Keep()
    if len(going) < len(owners):
        return DropOwners(going)  # one owner is enough to live
    below = [*dependents]
    if Owner.WAITING in owners.values() and below:
        # The owner waits for all that is below, not for this one alone.
        return Delete("Foreground", unblock=any(dependent.in_foreground for dependent in below))
    if ORPHAN in item.finalizers:
        return Delete("Orphan")
    return Delete("Foreground" if FOREGROUND in item.finalizers else "Background")
