"""Replication controllers: a selector and a template that have to fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, podtemplate, replicas
from kubelab.apiserver.strategies.base import Strategy

_TEMPLATE = "spec.template"


class ReplicationControllerStrategy(Strategy[core_pb2.ReplicationController]):
    has_generation: ClassVar[bool] = True
    warns_of_updates: ClassVar[bool] = True
    default_policy: ClassVar[str] = "Orphan"  # as before there was a garbage collector

    def default(self, obj: core_pb2.ReplicationController) -> None:
        spec = obj.spec
        if spec.HasField("template"):
            labels = spec.template.metadata.labels
            if not spec.selector:
                spec.selector.update(labels)
            if not obj.metadata.labels:
                obj.metadata.labels.update(labels)
            podtemplate.default(spec.template)
        if not spec.HasField("replicas"):
            spec.replicas = 1

    def warnings(self, obj: core_pb2.ReplicationController) -> list[str]:
        return podtemplate.warnings(obj.metadata.name, obj.spec.template, _TEMPLATE) + super().warnings(obj)

    def validate_content(self, obj: core_pb2.ReplicationController) -> list[Cause]:
        spec = obj.spec
        complaints = causes.non_negative("spec.minReadySeconds", spec.minReadySeconds)
        if not spec.selector:
            complaints.append(causes.required("spec.selector"))
        complaints += causes.non_negative("spec.replicas", spec.replicas)
        if not spec.HasField("template"):
            return [*complaints, causes.required(_TEMPLATE)]
        return complaints + _template(spec.template, spec.selector)

    def validate_status_update(
        self, obj: core_pb2.ReplicationController, old: core_pb2.ReplicationController
    ) -> list[Cause]:
        complaints = super().validate_status_update(obj, old)
        return complaints + replicas.status(obj.status)

    def selectable_fields(self, obj: core_pb2.ReplicationController) -> Mapping[str, str]:
        return {**super().selectable_fields(obj), "status.replicas": str(obj.status.replicas)}


def _template(template: core_pb2.PodTemplateSpec, selector: Mapping[str, str]) -> list[Cause]:
    complaints: list[Cause] = []
    labels = template.metadata.labels
    if any(labels.get(key) != value for key, value in selector.items()):
        # a controller whose pods it does not count as its own would make pods for ever
        message = "`selector` does not match template `labels`"
        complaints.append(causes.invalid(f"{_TEMPLATE}.metadata.labels", dict(labels), message))
    complaints += podtemplate.validate(template, _TEMPLATE)
    complaints += podtemplate.restart_policy(template, _TEMPLATE)
    return complaints + podtemplate.active_deadline(template, _TEMPLATE, "ReplicationController")
