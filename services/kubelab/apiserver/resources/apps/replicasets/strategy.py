"""ReplicaSets: a selector and a template that have to fit together (upstream: pkg/registry/apps/replicaset and
ValidateReplicaSetSpec)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, labelselectors, podtemplate, replicas
from kubelab.apiserver.strategies.base import Strategy

_TEMPLATE = "spec.template"


class ReplicaSetStrategy(Strategy[apps_pb2.ReplicaSet]):
    has_generation: ClassVar[bool] = True
    warns_of_updates: ClassVar[bool] = True

    def default(self, obj: apps_pb2.ReplicaSet) -> None:
        if not obj.spec.HasField("replicas"):
            obj.spec.replicas = 1
        podtemplate.default(obj.spec.template)

    def warnings(self, obj: apps_pb2.ReplicaSet) -> list[str]:
        return podtemplate.warnings(obj.metadata.name, obj.spec.template, _TEMPLATE) + super().warnings(obj)

    def validate_content(self, obj: apps_pb2.ReplicaSet) -> list[Cause]:
        complaints = causes.non_negative("spec.replicas", obj.spec.replicas)
        complaints += causes.non_negative("spec.minReadySeconds", obj.spec.minReadySeconds)
        return complaints + pods(obj.spec)

    def validate_change(self, obj: apps_pb2.ReplicaSet, old: apps_pb2.ReplicaSet) -> list[Cause]:
        return labelselectors.immutable(obj.spec.selector, old.spec.selector, "spec.selector")

    def validate_status_update(self, obj: apps_pb2.ReplicaSet, old: apps_pb2.ReplicaSet) -> list[Cause]:
        return super().validate_status_update(obj, old) + replicas.status(obj.status)

    def selectable_fields(self, obj: apps_pb2.ReplicaSet) -> Mapping[str, str]:
        return {**super().selectable_fields(obj), "status.replicas": str(obj.status.replicas)}


def pods(spec: apps_pb2.ReplicaSetSpec | apps_pb2.DeploymentSpec) -> list[Cause]:
    """All complaints about selector and template, a ReplicaSet's or those of which a Deployment makes one."""
    complaints = labelselectors.of_workload(spec, "spec")
    complaints += podtemplate.validate(spec.template, _TEMPLATE)
    complaints += podtemplate.restart_policy(spec.template, _TEMPLATE)
    return complaints + podtemplate.active_deadline(spec.template, _TEMPLATE, "ReplicaSet")
