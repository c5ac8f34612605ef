"""The rules for what every object carries (apimachinery's ValidateObjectMeta)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes

ANNOTATIONS_LIMIT = 256 * 1024  # bytes, keys and values together
NameCheck = Callable[[str], list[str]]


def validate(meta: meta_pb2.ObjectMeta, *, namespaced: bool, check_name: NameCheck) -> list[Cause]:
    """Name, generateName, namespace, labels, annotations, owners, finalizers: all complaints at once."""
    found: list[Cause] = []
    if meta.generateName:
        prefix = names.generate_prefix(meta.generateName)
        found += causes.each("metadata.generateName", meta.generateName, check_name(prefix))
    if not meta.name:
        found.append(causes.required("metadata.name", "name or generateName is required"))
    else:
        found += causes.each("metadata.name", meta.name, check_name(meta.name))
    if namespaced:
        if not meta.namespace:
            found.append(causes.required("metadata.namespace"))
        else:
            found += causes.each("metadata.namespace", meta.namespace, names.dns_label(meta.namespace))
    elif meta.namespace:
        found.append(causes.forbidden("metadata.namespace", "not allowed on this type"))
    found += labels("metadata.labels", meta.labels)
    found += annotation_values("metadata.annotations", meta.annotations)
    found += _owners(meta)
    for i, finalizer in enumerate(meta.finalizers):
        field = f"metadata.finalizers[{i}]"
        problems = names.qualified_name(finalizer)
        if not problems and "/" not in finalizer and finalizer not in ("orphan", "foregroundDeletion", "kubernetes"):
            problems = ["name is neither a standard finalizer name nor is it fully qualified"]
        found += causes.each(field, finalizer, problems)
    return found


def validate_update(new: meta_pb2.ObjectMeta, old: meta_pb2.ObjectMeta) -> list[Cause]:
    """What may never change."""
    found: list[Cause] = []
    if new.name != old.name:
        found.append(causes.immutable("metadata.name", new.name))
    if new.namespace != old.namespace:
        found.append(causes.immutable("metadata.namespace", new.namespace))
    if new.uid != old.uid:
        found.append(causes.immutable("metadata.uid", new.uid))
    if new.creationTimestamp != old.creationTimestamp:
        found.append(causes.immutable("metadata.creationTimestamp", new.creationTimestamp.seconds))
    if old.HasField("deletionTimestamp"):
        added = sorted(set(new.finalizers) - set(old.finalizers))
        if added:
            told = f"no new finalizers can be added if the object is being deleted, found new finalizers {added}"
            found.append(causes.forbidden("metadata.finalizers", told))
    return found


def labels(field: str, values: Mapping[str, str]) -> list[Cause]:
    found: list[Cause] = []
    for key, value in sorted(values.items()):
        found += causes.each(field, key, names.qualified_name(key))
        found += causes.each(field, value, names.label_value(value))
    return found


def annotation_values(field: str, values: Mapping[str, str]) -> list[Cause]:
    found: list[Cause] = []
    size = 0
    for key, value in sorted(values.items()):
        found += causes.each(field, key, names.qualified_name(key.lower()))
        size += len(key) + len(value.encode())
    if size > ANNOTATIONS_LIMIT:
        found.append(causes.too_long(field, ANNOTATIONS_LIMIT))
    return found


def _owners(meta: meta_pb2.ObjectMeta) -> list[Cause]:
    found: list[Cause] = []
    controllers = 0
    for i, ref in enumerate(meta.ownerReferences):
        field = f"metadata.ownerReferences[{i}]"
        for part, value in (("apiVersion", ref.apiVersion), ("kind", ref.kind), ("name", ref.name), ("uid", ref.uid)):
            if not value:
                found.append(causes.invalid(f"{field}.{part}", value, "must not be empty"))
        controllers += ref.controller
        if ref.controller and controllers == 2:
            told = "Only one reference can have Controller set to true."
            found.append(causes.invalid("metadata.ownerReferences", ref.name, told))
    return found
