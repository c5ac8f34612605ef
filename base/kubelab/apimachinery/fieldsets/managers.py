"""Who manages which fields of an object: ``metadata.managedFields``, changed by updates and by server-side apply.

Objects are in JSON's types. Upstream: ``managedfields/internal`` and ``structured-merge-diff/merge/update.go``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.fieldsets import comparing, merging, paths
from kubelab.apimachinery.fieldsets.paths import EMPTY, FieldSet, Path
from kubelab.apimachinery.fieldsets.types import Struct
from kubelab.apimachinery.patch.values import JSONObject

UPDATE, APPLY = "Update", "Apply"
BEFORE_FIRST_APPLY = "before-first-apply"
_ANCIENT = "ancient-changes"
_MAX_UPDATE_MANAGERS = 10
_FIELDS_V1 = "FieldsV1"
_STRIPPED = frozenset(
    (
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        ),
    )
)


class Manager(NamedTuple):
    """One entry: who, how, and through which subresource. An applier is the same in every ``version``."""

    name: str
    operation: str
    version: str = ""
    subresource: str = ""


@dataclass(slots=True)
class Managed:
    """The fields of one manager, of a version, since a time in seconds (None: unknown)."""

    fields: FieldSet
    version: str
    time: int | None


class Conflict(NamedTuple):
    """A field that another manager has, and that an apply would change."""

    manager: Manager
    path: Path


class ApplyConflicts(Exception):
    """An apply would change what others manage."""

    def __init__(self, conflicts: list[Conflict]) -> None:
        super().__init__(f"{len(conflicts)} conflicts")
        self.conflicts = conflicts


@dataclass(slots=True)
class ManagedFields:
    """All managers of an object."""

    entries: dict[Manager, Managed] = field(default_factory=dict[Manager, Managed])

    def __bool__(self) -> bool:
        return bool(self.entries)

    @staticmethod
    def decode(entries: Iterable[meta_pb2.ManagedFieldsEntry]) -> ManagedFields:
        """Read an object's entries; ValueError where one is no entry."""
        found: dict[Manager, Managed] = {}
        for one in entries:
            if one.operation not in (UPDATE, APPLY):
                raise ValueError("operation must be `Apply` or `Update`")
            if not one.apiVersion or one.fieldsType != _FIELDS_V1:
                raise ValueError("an entry needs an apiVersion and the fieldsType FieldsV1")
            version = one.apiVersion if one.operation == UPDATE else ""
            manager = Manager(one.manager, one.operation, version, one.subresource)
            time = one.time.seconds if one.HasField("time") else None
            found[manager] = Managed(paths.decode(one.fieldsV1.Raw), one.apiVersion, time)
        return ManagedFields(found)

    def encode(self) -> list[meta_pb2.ManagedFieldsEntry]:
        """Write the entries, in upstream's order."""

        def place(one: tuple[Manager, Managed]) -> tuple[str, int, str, str, str]:
            manager, managed = one
            return manager.operation, managed.time or 0, manager.name, managed.version, manager.subresource

        entries: list[meta_pb2.ManagedFieldsEntry] = []
        for manager, managed in sorted(self.entries.items(), key=place):
            entry = meta_pb2.ManagedFieldsEntry(
                manager=manager.name,
                operation=manager.operation,
                apiVersion=managed.version,
                fieldsType=_FIELDS_V1,
                fieldsV1=meta_pb2.FieldsV1(Raw=paths.encode(managed.fields)),
                subresource=manager.subresource,
            )
            if managed.time is not None:
                entry.time.seconds = managed.time
            entries.append(entry)
        return entries

    # --- writes

    def update(
        self, old: JSONObject, new: JSONObject, kind: Struct, manager: Manager, now: int, ignored: FieldSet = EMPTY
    ) -> None:
        """Note a write that made ``new`` of ``old``: its manager has what it changed, and nobody has what is gone.

        Fields below a path of ``ignored`` are not the manager's, whatever it sent.
        """
        difference = _without_ignored(comparing.compare(old, new, kind), ignored)
        changed = difference.added | difference.modified
        self._take(changed | difference.removed, keep=None)
        mine = changed - _STRIPPED
        if mine:
            before = self.entries.get(manager)
            fields = mine | before.fields if before is not None else mine
            self.entries[manager] = Managed(fields, manager.version, now)
        self._limit(manager)

    def apply(
        self,
        live: JSONObject,
        applied: JSONObject,
        kind: Struct,
        manager: Manager,
        version: str,
        now: int,
        *,
        force: bool,
        ignored: FieldSet = EMPTY,
    ) -> JSONObject:
        """Give the live object with what is applied, without what this manager applied before and nobody else has.

        Raises ApplyConflicts, unless ``force``; then nothing has changed.
        """
        before = self.entries.get(manager)
        others = {one: managed for one, managed in self.entries.items() if one != manager}
        mine = _outside(comparing.field_set(applied, kind), ignored)
        merged = merging.merge(live, applied, kind)
        if before is not None and before.fields:
            claimed = frozenset().union(mine, *(managed.fields for managed in others.values()))
            merged = _pruned(merged, before.fields, claimed, kind)
        difference = _without_ignored(comparing.compare(live, merged, kind), ignored)
        changed = difference.added | difference.modified
        conflicts = [
            Conflict(one, path) for one, managed in others.items() for path in sorted(managed.fields & changed)
        ]
        if conflicts and not force:
            raise ApplyConflicts(conflicts)
        self._take(changed | difference.removed, keep=manager)
        if fields := mine - _STRIPPED:
            self.entries[manager] = Managed(fields, version, now)
        else:
            self.entries.pop(manager, None)
        return merged

    def _take(self, fields: FieldSet, keep: Manager | None) -> None:
        """Take fields away from all managers but one."""
        for manager in list(self.entries):
            managed = self.entries[manager]
            if manager == keep or managed.fields.isdisjoint(fields):
                continue
            left = managed.fields - fields
            if left:
                self.entries[manager] = Managed(left, managed.version, managed.time)
            else:
                del self.entries[manager]

    def _limit(self, latest: Manager) -> None:
        """Put the oldest updaters into one entry where there are too many."""
        updaters = [manager for manager in self.entries if manager.operation == UPDATE]
        if len(updaters) <= _MAX_UPDATE_MANAGERS:
            return
        ancient = Manager(_ANCIENT, UPDATE, latest.version)
        old = sorted((m for m in updaters if m not in (latest, ancient)), key=lambda m: self.entries[m].time or 0)
        for manager in old[: len(updaters) - _MAX_UPDATE_MANAGERS + 1]:
            gone, kept = self.entries.pop(manager), self.entries.get(ancient)
            fields = gone.fields | kept.fields if kept is not None else gone.fields
            self.entries[ancient] = Managed(fields, gone.version, gone.time)


def _pruned(merged: JSONObject, last: FieldSet, claimed: FieldSet, kind: Struct) -> JSONObject:
    """Take away what was applied last time and is claimed by nobody now."""
    was = paths.closure(last)
    everything = paths.closure(comparing.field_set(merged, kind))
    left = paths.closure(comparing.field_set(merging.remove(merged, was, kind), kind))
    kept = merging.remove(merged, everything - (left | paths.closure(claimed)), kind)
    remaining = paths.closure(comparing.field_set(kept, kind))
    return merging.remove(merged, (everything - remaining) & was, kind)


def _outside(fields: FieldSet, ignored: FieldSet) -> FieldSet:
    """Give the fields that are not below an ignored path."""
    if not ignored:
        return fields
    return frozenset(path for path in fields if not any(path[: len(one)] == one for one in ignored))


def _without_ignored(difference: comparing.Comparison, ignored: FieldSet) -> comparing.Comparison:
    return comparing.Comparison(*(_outside(fields, ignored) for fields in difference))


def allowed_by_last_applied(last_applied: JSONObject, live: JSONObject, kind: Struct) -> FieldSet:
    """Give the fields of a client-side apply that the live object still has as they were applied."""
    difference = comparing.compare(last_applied, live, kind)
    return comparing.field_set(last_applied, kind) - difference.added - difference.modified - difference.removed
