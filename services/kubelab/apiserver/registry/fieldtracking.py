"""Managed fields of the writes that are no server-side apply.

An object is tracked from its first write that names its field manager, or from its first server-side apply. The objects
that controllers and kubelets make for themselves are not: to find out what a write changes takes as long as a third of
the write (docs/decisions/0018-managed-fields-on-request.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.fieldsets import types
from kubelab.apimachinery.fieldsets.managers import UPDATE, ManagedFields, Manager
from kubelab.apimachinery.fieldsets.paths import EMPTY, FieldSet
from kubelab.apimachinery.fieldsets.types import Struct
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import CustomSchema

_RESET = meta_pb2.ManagedFieldsEntry()
_PROCESSES = {  # what upstream's programs are called
    "api-server": "kube-apiserver",
    "controller-manager": "kube-controller-manager",
    "kctl": "kubectl",
    "kube-proxy": "kube-proxy",
    "scheduler": "kube-scheduler",
}


def manager_of_process(process: str) -> str:
    """Name the manager of a process that does not say: ``kubelet`` for ``kubelet@node-1``, and what stands before the
    slash of a user agent such as ``kubectl/v1.32.4``."""
    name = process.partition("@")[0].partition("/")[0]
    return _PROCESSES.get(name, name) or "unknown"


@cache
def ignored_fields(descriptor: Descriptor, subresource: str) -> FieldSet:
    """Give the top fields that a write through a subresource does not set, whatever it sends."""
    names = [one.name for one in descriptor.fields]
    if subresource == "status":
        return frozenset((f"f:{name}",) for name in names if name != "status")
    return frozenset({("f:status",)}) if "status" in names and not subresource else frozenset()


def ignored_by(kind: Struct, subresource: str) -> FieldSet:
    """The same, of a kind whose fields are no message's."""
    if subresource == "status":
        return frozenset((f"f:{name}",) for name in kind.fields if name not in ("apiVersion", "kind", "status"))
    return frozenset({("f:status",)}) if not subresource else frozenset()


class FieldTracking:
    """Notes what one request's writes set. ``manager`` is the name that it gives, empty where it gives none."""

    __slots__ = ("_clock", "_custom", "_manager", "_process", "_subresource", "_version")

    def __init__(
        self,
        manager: str,
        process: Callable[[], str],
        version: str,
        subresource: str,
        clock: Clock,
        custom: CustomSchema | None = None,
    ) -> None:
        self._custom = custom
        self._manager, self._process = manager, process
        self._version, self._subresource, self._clock = version, subresource, clock

    def created(self, obj: Message) -> None:
        """Note what a new object sets."""
        m = meta_of(obj)
        if not self._manager and not m.managedFields:
            return
        managed = _decoded(m.managedFields)
        m.ClearField("managedFields")
        if managed or self._manager:
            self._note(managed, type(obj)(), obj)

    def updated(self, new: Message, old: Message) -> None:
        """Note what a write changes; through a subresource, what it leaves changed. A client may clear the list with
        one empty entry."""
        m, before = meta_of(new), meta_of(old)
        if not before.managedFields and not m.managedFields:
            return
        sent = [] if self._subresource else list(m.managedFields)
        m.ClearField("managedFields")
        if sent == [_RESET]:
            return
        managed = _decoded(sent) or _decoded(before.managedFields)
        if managed:
            self._note(managed, old, new)

    def _note(self, managed: ManagedFields, old: Message, new: Message) -> None:
        kind: Struct = self._custom.fields if self._custom is not None else types.of_object(new.DESCRIPTOR)
        name = self._manager or manager_of_process(self._process())
        manager = Manager(name, UPDATE, self._version, self._subresource)
        managed.update(
            message_to_dict(old),
            message_to_dict(new),
            kind,
            manager,
            int(self._clock.time()),
            EMPTY if self._subresource else self._ignored(new, kind),
        )
        meta_of(new).managedFields.extend(managed.encode())

    def _ignored(self, obj: Message, kind: Struct) -> FieldSet:
        if self._custom is None:
            return ignored_fields(obj.DESCRIPTOR, "")
        return ignored_by(kind, "") if self._custom.has_status else EMPTY


def _decoded(entries: Iterable[meta_pb2.ManagedFieldsEntry]) -> ManagedFields:
    """Read entries; none where one of them cannot be read, as upstream."""
    try:
        return ManagedFields.decode(entries)
    except ValueError:
        return ManagedFields()


def keep_times(new: Message, old: Message) -> None:
    """Let an apply that changes nothing but its own time leave the object as it is."""
    if not meta_of(new).managedFields:
        return
    without_times = [deep_copy(new), deep_copy(old)]
    for one in without_times:
        meta_of(one).ClearField("resourceVersion")
        for entry in meta_of(one).managedFields:
            entry.ClearField("time")
    if without_times[0] == without_times[1]:
        meta_of(new).ClearField("managedFields")
        meta_of(new).managedFields.extend(meta_of(old).managedFields)
