"""A pod template, the part that all workloads share (upstream: ValidatePodTemplateSpec)."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, metadata, podspec, podwarnings


def default(template: core_pb2.PodTemplateSpec) -> None:
    """Fill in what is not said."""
    podspec.default(template.spec)


def validate(template: core_pb2.PodTemplateSpec, field: str) -> list[Cause]:
    """All complaints about a template that has its defaults."""
    complaints = metadata.labels(f"{field}.labels", template.metadata.labels)
    complaints += metadata.annotation_values(f"{field}.annotations", template.metadata.annotations)
    complaints += podspec.special_annotations(f"{field}.annotations", template.metadata.annotations)
    return complaints + podspec.validate(template.spec, f"{field}.spec", is_pod=False)


def restart_policy(
    template: core_pb2.PodTemplateSpec, field: str, supported: Sequence[str] = ("Always",)
) -> list[Cause]:
    """Complain of a restart policy that the template's owner does not have."""
    policy = template.spec.restartPolicy
    return [] if policy in supported else [causes.unsupported(f"{field}.spec.restartPolicy", policy, supported)]


def active_deadline(template: core_pb2.PodTemplateSpec, field: str, kind: str) -> list[Cause]:
    """Complain of a deadline for pods that their owner would only make anew."""
    if not template.spec.HasField("activeDeadlineSeconds"):
        return []
    message = f"activeDeadlineSeconds in {kind} is not Supported"
    return [causes.forbidden(f"{field}.spec.activeDeadlineSeconds", message)]


def warnings(owner: str, template: core_pb2.PodTemplateSpec, field: str) -> list[str]:
    """Tell what is hardly meant in the name of a workload, and in its template."""
    told = podwarnings.of_spec(template.spec, template.metadata, f"{field}.", is_pod=False)
    if owner and (problems := names.dns_label(owner)):
        message = "this is used in Pod names and hostnames, which can result in surprising behavior"
        told.insert(0, f"metadata.name: {message}; a DNS label is recommended: [{' '.join(problems)}]")
    return told
