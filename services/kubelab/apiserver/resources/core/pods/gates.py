"""Pods with scheduling gates: what is said of them, and how they may change while they wait
(https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/)."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import POD_SCHEDULED
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.strategies import causes

_TERMS = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"


def mark_gated(pod: core_pb2.Pod) -> None:
    """Say of a new pod that it is gated."""
    if pod.spec.schedulingGates and not any(c.type == POD_SCHEDULED for c in pod.status.conditions):
        message = "Scheduling is blocked due to non-empty scheduling gates"
        pod.status.conditions.add(type=POD_SCHEDULED, status="False", reason="SchedulingGated", message=message)


def node_of_gated(spec: core_pb2.PodSpec) -> list[Cause]:
    """Complain of a new pod that has gates and a node."""
    if spec.schedulingGates and spec.nodeName:
        return [causes.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")]
    return []


def only_deleted(new: core_pb2.PodSpec, old: core_pb2.PodSpec) -> list[Cause]:
    """Complain of gates that come."""
    known = {gate.name for gate in old.schedulingGates}
    message = "only deletion is allowed, but found new scheduling gate"
    return [
        causes.forbidden(f"spec.schedulingGates[{i}].name", f"{message} '{gate.name}'")
        for i, gate in enumerate(new.schedulingGates)
        if gate.name not in known
    ]


def narrowed(new: core_pb2.PodSpec, old: core_pb2.PodSpec) -> list[Cause]:
    """Complain where a gated pod's node selector or required node affinity becomes wider."""
    complaints: list[Cause] = []
    if any(new.nodeSelector.get(key) != value for key, value in old.nodeSelector.items()):
        message = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        complaints.append(causes.invalid("spec.nodeSelector", dict(new.nodeSelector), message))
    before = old.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms
    after = new.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms
    if before and len(before) != len(after):
        message = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        complaints.append(causes.invalid(_TERMS, causes.Raw("[]core.NodeSelectorTerm{…}"), message))
        return complaints
    for i, (term, was) in enumerate(zip(after, before, strict=False)):
        if not _has_all(term, was):
            message = "only additions are allowed (no mutations or deletions)"
            complaints.append(causes.invalid(f"{_TERMS}[{i}]", causes.Raw("core.NodeSelectorTerm{…}"), message))
    return complaints


def _has_all(new: core_pb2.NodeSelectorTerm, old: core_pb2.NodeSelectorTerm) -> bool:
    """Say whether a term only got longer: terms without any requirement take no node and must stay so."""
    if not old.matchExpressions and not old.matchFields and (new.matchExpressions or new.matchFields):
        return False
    for before, after in ((old.matchExpressions, new.matchExpressions), (old.matchFields, new.matchFields)):
        if len(after) < len(before) or any(a != b for a, b in zip(after, before, strict=False)):
            return False
    return True


def with_placement_of(spec: core_pb2.PodSpec, old: core_pb2.PodSpec) -> core_pb2.PodSpec:
    """Give a copy of a gated pod's spec with the old node selector and node affinity, to compare the rest."""
    munged = deep_copy(spec)
    munged.ClearField("nodeSelector")
    munged.nodeSelector.update(old.nodeSelector)
    munged.affinity.ClearField("nodeAffinity")
    if old.affinity.HasField("nodeAffinity"):
        munged.affinity.nodeAffinity.CopyFrom(old.affinity.nodeAffinity)
    if not old.HasField("affinity") and munged.affinity == core_pb2.Affinity():
        munged.ClearField("affinity")
    return munged
