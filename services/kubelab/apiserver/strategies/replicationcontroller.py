"""Replication controllers: a selector and a template that have to fit together."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labels
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, metadata, podspec
from kubelab.apiserver.strategies.base import Strategy


class ReplicationControllerStrategy(Strategy[core_pb2.ReplicationController]):
    def default(self, obj: core_pb2.ReplicationController) -> None:
        template_labels = obj.spec.template.metadata.labels
        if not obj.spec.selector:
            obj.spec.selector.update(template_labels)
        if not obj.metadata.labels:
            obj.metadata.labels.update(template_labels)
        if not obj.spec.HasField("replicas"):
            obj.spec.replicas = 1
        if obj.spec.HasField("template"):
            podspec.default(obj.spec.template.spec)

    def validate_content(self, obj: core_pb2.ReplicationController) -> list[Cause]:
        spec = obj.spec
        found = causes.non_negative("spec.minReadySeconds", spec.minReadySeconds)
        if not spec.selector:
            found.append(causes.required("spec.selector"))
        found += causes.non_negative("spec.replicas", spec.replicas)
        if not spec.HasField("template"):
            return [*found, causes.required("spec.template")]
        template = spec.template
        if spec.selector and not labels.from_mapping(spec.selector).matches(template.metadata.labels):
            told = "`selector` does not match template `labels`"
            found.append(causes.invalid("spec.template.metadata.labels", dict(template.metadata.labels), told))
        found += metadata.labels("spec.template.labels", template.metadata.labels)
        found += metadata.annotation_values("spec.template.annotations", template.metadata.annotations)
        found += podspec.validate(template.spec, "spec.template.spec")
        if template.spec.restartPolicy in ("OnFailure", "Never"):
            found.append(
                causes.unsupported("spec.template.spec.restartPolicy", template.spec.restartPolicy, ("Always",))
            )
        if template.spec.HasField("activeDeadlineSeconds"):
            told = "activeDeadlineSeconds in ReplicationController is not Supported"
            found.append(causes.forbidden("spec.template.spec.activeDeadlineSeconds", told))
        return found

    def selectable_fields(self, obj: core_pb2.ReplicationController) -> Mapping[str, str]:
        return {**super().selectable_fields(obj), "status.replicas": str(obj.status.replicas)}
