"""Taints and tolerations: the rules that the scheduler, the kubelet and the node lifecycle controller share.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.api.core.v1 import core_pb2

NO_SCHEDULE = "NoSchedule"
PREFER_NO_SCHEDULE = "PreferNoSchedule"
NO_EXECUTE = "NoExecute"

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


def tolerates(toleration: core_pb2.Toleration, taint: core_pb2.Taint) -> bool:
    """Say whether one toleration covers one taint: an empty effect or key covers all, ``Exists`` any value."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.operator in ("", "Equal") and bool(toleration.key) and toleration.value == taint.value


def tolerated(tolerations: Iterable[core_pb2.Toleration], taint: core_pb2.Taint) -> bool:
    """Say whether any toleration covers the taint."""
    return any(tolerates(toleration, taint) for toleration in tolerations)
