"""The rules for what every object carries (apimachinery's ``api/validation/objectmeta.go``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import immutability, names
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.timestamps import format_time
from kubelab.apiserver.strategies import causes

ANNOTATIONS_LIMIT = 256 * 1024  # bytes, keys and values together
MAX_GENERATION = 2**63 - 1
STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
NameCheck = Callable[[str], list[str]]

_NOT_STANDARD = "name is neither a standard finalizer name nor is it fully qualified"


def next_generation(generation: int, changed: bool = True) -> int:
    """The generation after a write that has `changed` the spec; the greatest int64 stays."""
    return min(generation + changed, MAX_GENERATION)


def validate(meta: meta_pb2.ObjectMeta, *, namespaced: bool, check_name: NameCheck) -> list[Cause]:
    """Name, generateName, namespace, generation, labels, annotations, owners, finalizers: all complaints at once."""
    complaints: list[Cause] = []
    if meta.generateName:
        problems = check_name(names.generate_prefix(meta.generateName))
        complaints += causes.each("metadata.generateName", meta.generateName, problems)
    if not meta.name:
        complaints.append(causes.required("metadata.name", "name or generateName is required"))
    elif problems := check_name(meta.name):
        complaints += causes.each("metadata.name", meta.name, problems)
    if namespaced:
        if not meta.namespace:
            complaints.append(causes.required("metadata.namespace"))
        elif problems := names.dns_label(meta.namespace):
            complaints += causes.each("metadata.namespace", meta.namespace, problems)
    elif meta.namespace:
        complaints.append(causes.forbidden("metadata.namespace", "not allowed on this type"))
    complaints += causes.non_negative("metadata.generation", meta.generation)
    complaints += labels("metadata.labels", meta.labels)
    complaints += annotation_values("metadata.annotations", meta.annotations)
    if meta.ownerReferences:
        complaints += _owners(meta)
    if meta.finalizers:
        complaints += _finalizers(meta)
    return complaints


def validate_update(new: meta_pb2.ObjectMeta, old: meta_pb2.ObjectMeta) -> list[Cause]:
    """What may never change."""
    complaints: list[Cause] = []
    if old.HasField("deletionTimestamp"):
        added = sorted(set(new.finalizers) - set(old.finalizers))
        if added:
            message = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers {causes.shown(added)}"
            )
            complaints.append(causes.forbidden("metadata.finalizers", message))
    if new.generation < old.generation:
        complaints.append(causes.invalid("metadata.generation", new.generation, "must not be decremented"))
    for field, value in immutability.changed(new, old):
        shown = causes.Raw(_moment(value)) if isinstance(value, meta_pb2.Time) else value
        complaints.append(causes.immutable(f"metadata.{field}", shown))
    return complaints


def labels(field: str, values: Mapping[str, str]) -> list[Cause]:
    """Complaints about labels, a node selector or a service's selector."""
    complaints: list[Cause] = []
    for key in sorted(values):
        if problems := names.qualified_name(key):
            complaints += causes.each(field, key, problems)
        if problems := names.label_value(values[key]):
            complaints += causes.each(field, values[key], problems)
    return complaints


def annotation_values(field: str, values: Mapping[str, str]) -> list[Cause]:
    """Complaints about annotations: their keys may have capitals, their values anything, but not too much of it."""
    complaints: list[Cause] = []
    size = 0
    for key in sorted(values):
        if problems := names.qualified_name(key.lower()):
            complaints += causes.each(field, key, problems)
        size += len(key.encode()) + len(values[key].encode())
    if size > ANNOTATIONS_LIMIT:
        complaints.append(causes.too_long(field, ANNOTATIONS_LIMIT))
    return complaints


def standard_finalizers(meta: meta_pb2.ObjectMeta) -> list[Cause]:
    """Complaints of the core group about finalizers: Kubernetes' own, or with the domain of whose they are."""
    return [cause for i, name in enumerate(meta.finalizers) for cause in _standard(f"metadata.finalizers[{i}]", name)]


def finalizer(field: str, name: str) -> list[Cause]:
    """Complaints about one finalizer of a namespace's spec."""
    return [*causes.each(field, name, names.qualified_name(name)), *_standard(field, name)]


def _standard(field: str, name: str) -> list[Cause]:
    if "/" in name or name in STANDARD_FINALIZERS:
        return []
    return [causes.invalid(field, name, _NOT_STANDARD)]


def _finalizers(meta: meta_pb2.ObjectMeta) -> list[Cause]:
    complaints: list[Cause] = []
    for name in meta.finalizers:
        complaints += causes.each("metadata.finalizers", name, names.qualified_name(name))
    if "orphan" in meta.finalizers and "foregroundDeletion" in meta.finalizers:
        message = "finalizer orphan and foregroundDeletion cannot be both set"
        complaints.append(causes.invalid("metadata.finalizers", list(meta.finalizers), message))
    return complaints


def _owners(meta: meta_pb2.ObjectMeta) -> list[Cause]:
    field = "metadata.ownerReferences"
    complaints: list[Cause] = []
    controller = ""
    for ref in meta.ownerReferences:
        if not ref.apiVersion.rpartition("/")[2]:
            complaints.append(causes.invalid(f"{field}.apiVersion", ref.apiVersion, "version must not be empty"))
        for part, value in (("kind", ref.kind), ("name", ref.name), ("uid", ref.uid)):
            if not value:
                complaints.append(causes.invalid(f"{field}.{part}", value, "must not be empty"))
        if ref.apiVersion == "v1" and ref.kind == "Event":
            message = "/v1, Kind=Event is disallowed from being an owner"
            complaints.append(causes.invalid(field, _owner(ref), message))
        if not ref.controller:
            continue
        named = f"{ref.kind}/{ref.name}"
        if controller:
            message = (
                "Only one reference can have Controller set to true. "
                f'Found "true" in references for {controller} and {named}'
            )
            shown = ", ".join(_reference(one) for one in meta.ownerReferences)
            complaints.append(causes.invalid(field, causes.Raw(f"[]v1.OwnerReference{{{shown}}}"), message))
        else:
            controller = named
    return complaints


def _moment(time: meta_pb2.Time) -> str:
    """``2024-05-01 12:00:00 +0000 UTC``: a time as Go prints it."""
    return format_time(time).replace("T", " ").replace("Z", " +0000 UTC")


def _owner(ref: meta_pb2.OwnerReference) -> causes.Raw:
    """An owner as Go prints a message."""
    flags = [
        f"*{causes.shown(getattr(ref, name))}" if ref.HasField(name) else "nil"
        for name in ("controller", "blockOwnerDeletion")
    ]
    return causes.Raw(
        f"&OwnerReference{{Kind:{ref.kind},Name:{ref.name},UID:{ref.uid},APIVersion:{ref.apiVersion},"
        f"Controller:{flags[0]},BlockOwnerDeletion:{flags[1]},}}"
    )


def _reference(ref: meta_pb2.OwnerReference) -> causes.Raw:
    """An owner as Go prints it in a list, but for the pointers' addresses, which say nothing."""
    words = (ref.apiVersion, ref.kind, ref.name, ref.uid)
    version, kind, name, uid = (causes.quoted(word) for word in words)
    return causes.Raw(f"v1.OwnerReference{{APIVersion:{version}, Kind:{kind}, Name:{name}, UID:{uid}}}")
