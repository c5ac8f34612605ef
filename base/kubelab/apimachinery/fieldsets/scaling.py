"""Who manages the number of replicas: in an object's managedFields, and in those of its Scale
(upstream: ``managedfields/scalehandler.go``). Other fields of the object are not in a Scale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.fieldsets.managers import APPLY, Managed, ManagedFields, Manager
from kubelab.apimachinery.fieldsets.paths import Path

SCALE_VERSION = "autoscaling/v1"
REPLICAS: Path = ("f:spec", "f:replicas")
"""Where a Scale has them."""

Entries = Iterable[meta_pb2.ManagedFieldsEntry]


def of_scale(entries: Entries, path: Path) -> list[meta_pb2.ManagedFieldsEntry]:
    """Give the entries of an object's Scale. ``path`` is where the object has its replicas. ValueError: no entries."""
    found = ManagedFields()
    for manager, managed in ManagedFields.decode(entries).entries.items():
        if path in managed.fields:
            found.entries[_as(manager, SCALE_VERSION)] = Managed(frozenset({REPLICAS}), SCALE_VERSION, managed.time)
    return found.encode()


def of_object(entries: Entries, scale: Entries, path: Path, version: str) -> list[meta_pb2.ManagedFieldsEntry]:
    """Give the entries of an object of a ``version`` whose replicas are managed as its Scale says."""
    found = ManagedFields()
    for manager, managed in ManagedFields.decode(entries).entries.items():
        if left := managed.fields - {path}:
            found.entries[manager] = replace(managed, fields=left)
    for manager, managed in ManagedFields.decode(scale).entries.items():
        if REPLICAS in managed.fields:
            own = _as(manager, version)
            before = found.entries.get(own)
            fields = frozenset({path}) | (before.fields if before is not None else frozenset())
            found.entries[own] = Managed(fields, version, managed.time)
    return found.encode()


def _as(manager: Manager, version: str) -> Manager:
    """Give the same manager for objects of a version; an applier has none."""
    return manager if manager.operation == APPLY else manager._replace(version=version)
