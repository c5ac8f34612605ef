"""The rules of what ReplicaSets and ReplicationControllers share (upstream: ValidateReplicaSetStatus and
ValidateReplicationControllerStatus, which are the same)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes

_OF_REPLICAS = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")


def status(status: Any) -> list[Cause]:
    """All complaints about the counts of a status."""
    return counts(status, ("replicas", *_OF_REPLICAS, "observedGeneration"), _OF_REPLICAS)


def counts(status: Any, names: Iterable[str], of_replicas: Iterable[str]) -> list[Cause]:
    """Complain of counts below zero, of those ``of_replicas`` that exceed ``replicas``, and of more pods that are
    available than ready."""
    complaints: list[Cause] = []
    for name in names:
        complaints += causes.non_negative(f"status.{name}", getattr(status, name))
    for name in of_replicas:
        if (count := getattr(status, name)) > status.replicas:
            complaints.append(causes.invalid(f"status.{name}", count, "cannot be greater than status.replicas"))
    if status.availableReplicas > status.readyReplicas:
        message = "cannot be greater than readyReplicas"
        complaints.append(causes.invalid("status.availableReplicas", status.availableReplicas, message))
    return complaints
