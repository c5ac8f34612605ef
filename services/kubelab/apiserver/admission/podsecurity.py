"""PodSecurity: a namespace's labels say which of the Pod Security Standards its pods keep
(https://kubernetes.io/docs/concepts/security/pod-security-admission/).

``enforce`` refuses a pod; ``warn`` warns of it, and of a workload whose template makes such pods; ``audit`` annotates
the audit record of both. The record of a pod says which policy was enforced, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import NAMESPACES, PODS
from kubelab.apiserver.admission.chain import AdmissionPlugin
from kubelab.apiserver.admission.podsecuritystandards import LEVELS, PRIVILEGED, violations
from kubelab.apiserver.strategies import causes
from kubelab.auth.attributes import Attributes

PREFIX = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")
LATEST = "latest"
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)", re.ASCII)
_TEMPLATE = core_pb2.PodTemplateSpec.DESCRIPTOR.full_name


class PodSecurity(AdmissionPlugin):
    """``labels_of`` gives the labels of a namespace."""

    name: ClassVar[str] = "PodSecurity"

    def __init__(self, labels_of: Callable[[str], Mapping[str, str]]) -> None:
        self._labels_of = labels_of

    def handles(self, a: Attributes) -> bool:
        return a.verb in ("create", "update") and not a.subresource

    def validate(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        """Forbidden for a pod that violates the level that its namespace enforces; Invalid for labels that are no
        levels."""
        if a.resource == NAMESPACES.plural and not a.group:
            _check_labels(cast(core_pb2.Namespace, new), cast("core_pb2.Namespace | None", old))
        elif _is_pod(a) and old is None:
            pod = cast(core_pb2.Pod, new)
            level, version = self._policy(pod.metadata.namespace, "enforce")
            if found := violations(pod.spec, level):
                why = f'violates PodSecurity "{level}:{version}": {", ".join(map(str, found))}'
                raise errors.forbidden(PODS.plural, pod.metadata.name, why)

    def warnings(self, a: Attributes, new: Message) -> Sequence[str]:
        """Warn of a pod, or of a workload's template, that violates the level that its namespace warns of."""
        if would := self._would_violate(a, new, "warn"):
            return [would]
        return ()

    def annotations(self, a: Attributes, new: Message | None, old: Message | None) -> Mapping[str, str]:
        """Annotate with the policy that a pod had to keep, and with what the level for the audit finds."""
        if new is None or not a.namespace:
            return {}
        found: dict[str, str] = {}
        if _is_pod(a) and old is None:
            found[f"{PREFIX}enforce-policy"] = ":".join(self._policy(a.namespace, "enforce"))
        if would := self._would_violate(a, new, "audit"):
            found[f"{PREFIX}audit-violations"] = would
        return found

    def _would_violate(self, a: Attributes, new: Message, mode: str) -> str:
        """Say by what a new pod, or a workload's template, violates the level of a mode; "" where it keeps it."""
        if not a.namespace or (_is_pod(a) and a.verb != "create"):
            return ""
        level, version = self._policy(a.namespace, mode)
        if level == PRIVILEGED:
            return ""
        spec = cast(core_pb2.Pod, new).spec if _is_pod(a) else _template_of(new)
        found = violations(spec, level) if spec is not None else []
        return f'would violate PodSecurity "{level}:{version}": {", ".join(map(str, found))}' if found else ""

    def _policy(self, namespace: str, mode: str) -> tuple[str, str]:
        """Give the level and the version of a mode. What is no level stands for the strictest, as upstream has it."""
        labels = self._labels_of(namespace)
        level = labels.get(PREFIX + mode, PRIVILEGED)
        return level if level in LEVELS else LEVELS[-1], labels.get(f"{PREFIX}{mode}-version", LATEST)


def _is_pod(a: Attributes) -> bool:
    return a.resource == PODS.plural and not a.group


def _template_of(obj: Any) -> core_pb2.PodSpec | None:
    """Find the pod template in a workload: in its spec, or in that of its jobs."""
    spec = getattr(obj, "spec", None)
    if spec is None:
        return None
    for inner in (spec, getattr(getattr(spec, "jobTemplate", None), "spec", None)):
        template = getattr(inner, "template", None)
        if isinstance(template, Message) and template.DESCRIPTOR.full_name == _TEMPLATE:
            return cast(core_pb2.PodTemplateSpec, template).spec
    return None


def _check_labels(new: core_pb2.Namespace, old: core_pb2.Namespace | None) -> None:
    labels = new.metadata.labels
    before = old.metadata.labels if old is not None else {}
    complaints: list[errors.Cause] = []
    for mode in MODES:
        level, version = PREFIX + mode, f"{PREFIX}{mode}-version"
        if level in labels and labels[level] not in LEVELS and labels[level] != before.get(level):
            what = f"must be one of {', '.join(LEVELS)}"
            complaints.append(causes.invalid(f"metadata.labels[{level}]", labels[level], what))
        text = labels.get(version, LATEST)
        if text != LATEST and not _VERSION.fullmatch(text) and text != before.get(version):
            what = 'must be "latest" or "v1.x"'
            complaints.append(causes.invalid(f"metadata.labels[{version}]", text, what))
    if complaints:
        raise errors.invalid(NAMESPACES.kind, new.metadata.name, complaints)
