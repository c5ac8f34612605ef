"""Namespaces: each carries its name as a label, and a finalizer until it is empty."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, metadata
from kubelab.apiserver.strategies.base import Strategy

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"
_ACTIVE_ONLY = "may only be 'Active' if `deletionTimestamp` is empty"
_TERMINATING_ONLY = "may only be 'Terminating' if `deletionTimestamp` is not empty"


class NamespaceStrategy(Strategy[core_pb2.Namespace]):
    check_name = staticmethod(names.dns_label)

    def default(self, obj: core_pb2.Namespace) -> None:
        name = obj.metadata.name
        if name and obj.metadata.labels.get(NAME_LABEL) != name:
            obj.metadata.labels[NAME_LABEL] = name

    def prepare_for_create(self, obj: core_pb2.Namespace) -> None:
        super().prepare_for_create(obj)
        self.default(obj)  # a generated name is only known by now
        obj.status.phase = "Active"
        if FINALIZER not in obj.spec.finalizers:
            obj.spec.finalizers.append(FINALIZER)

    def prepare_for_update(self, obj: core_pb2.Namespace, old: core_pb2.Namespace) -> None:
        super().prepare_for_update(obj, old)
        obj.spec.CopyFrom(old.spec)  # finalizers change by the finalize subresource alone

    def validate_content(self, obj: core_pb2.Namespace) -> list[Cause]:
        return [cause for name in obj.spec.finalizers for cause in metadata.finalizer("spec.finalizers", name)]

    def validate_status_update(self, obj: core_pb2.Namespace, old: core_pb2.Namespace) -> list[Cause]:
        complaints = super().validate_status_update(obj, old)
        phase, deleting = obj.status.phase, obj.metadata.HasField("deletionTimestamp")
        if phase != ("Terminating" if deleting else "Active"):
            complaints.append(causes.invalid("status.Phase", phase, _TERMINATING_ONLY if deleting else _ACTIVE_ONLY))
        return complaints

    def selectable_fields(self, obj: core_pb2.Namespace) -> Mapping[str, str]:
        return {"metadata.name": obj.metadata.name, "status.phase": obj.status.phase}
