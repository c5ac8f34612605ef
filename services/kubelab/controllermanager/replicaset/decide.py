"""What a ReplicaSet or ReplicationController should do next: pure functions of the object and its pods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labels, timestamps
from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.apimachinery.core.pods import available_in, is_ready, was_rejected
from kubelab.apimachinery.errors import ApiError
from kubelab.controllermanager.podranking import rank_for_deletion

BURST = 500  # creations, or deletions, of one sync
REJECTED_BACKOFF = ExponentialBackoff(1.0, 300.0)
REJECTED_SECONDS = 900.0  # for which a pod that its node did not take is remembered
REPLICA_FAILURE = "ReplicaFailure"

ReplicaSet = apps_pb2.ReplicaSet | core_pb2.ReplicationController
"""Both have the same fields, but for the selector."""
Status = apps_pb2.ReplicaSetStatus | core_pb2.ReplicationControllerStatus
Condition = apps_pb2.ReplicaSetCondition | core_pb2.ReplicationControllerCondition


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pods to create, and which to delete; never both."""

    create: int = 0
    delete: tuple[core_pb2.Pod, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a plan could not be carried out: ``FailedCreate`` or ``FailedDelete``, and what the api-server said."""

    reason: str
    error: ApiError


def plan(
    replica_set: ReplicaSet, pods: Sequence[core_pb2.Pod], now: float, related: Sequence[core_pb2.Pod] | None = None
) -> Plan:
    """Compare the active pods with ``spec.replicas``. ``now`` is wall time in seconds; ``related`` are the pods that
    share the nodes' burden, if there are more than these."""
    missing = replicas(replica_set) - len(pods)
    if missing >= 0:
        return Plan(create=min(missing, BURST))
    ranked = rank_for_deletion(pods, pods if related is None else related, now)
    return Plan(delete=tuple(ranked[: min(-missing, BURST)]))


def hold_back(replica_set: ReplicaSet, owned: Sequence[core_pb2.Pod], now: float) -> float:
    """Say for how many seconds no pod is to be created: as many as are wanted were rejected by their nodes, once or
    several times, and the next ones will be too. Upstream creates them without a pause. A new generation of the owner
    may do better, and waits for nothing."""
    if replica_set.status.observedGeneration != replica_set.metadata.generation:
        return 0.0
    ages = [now - pod.metadata.creationTimestamp.seconds for pod in owned if was_rejected(pod)]
    ages = [age for age in ages if age < REJECTED_SECONDS]
    rounds = len(ages) // max(1, replicas(replica_set))
    return max(0.0, REJECTED_BACKOFF.longest(rounds) - min(ages)) if rounds else 0.0


def replicas(replica_set: ReplicaSet) -> int:
    """Give ``spec.replicas``; unset means one."""
    return replica_set.spec.replicas if replica_set.spec.HasField("replicas") else 1


def status(replica_set: ReplicaSet, pods: Sequence[core_pb2.Pod], failure: Failure | None, now: float) -> Status:
    """Work out the status. ``failure`` is why not all pods could be created or deleted."""
    result: Any = type(replica_set.status)(observedGeneration=replica_set.metadata.generation)
    for pod in pods:
        result.replicas += 1
        result.fullyLabeledReplicas += labels.contain(pod.metadata.labels, replica_set.spec.template.metadata.labels)
        if is_ready(pod):
            result.readyReplicas += 1
            result.availableReplicas += available_in(pod, replica_set.spec.minReadySeconds, now) == 0
    result.conditions.extend(c for c in replica_set.status.conditions if c.type != REPLICA_FAILURE)
    if failure is not None:
        _write_failure(result.conditions.add(type=REPLICA_FAILURE), replica_set.status, failure, now)
    return result


def _write_failure(condition: Condition, last: Status, failure: Failure, now: float) -> None:
    """Write each reason once. Messages name the pod that was not created, another one each time: a condition with a new
    message would bring the object's key back at once, whatever its back-off."""
    old: Condition | None = next((c for c in last.conditions if c.type == REPLICA_FAILURE), None)
    condition.status, condition.reason, condition.message = "True", failure.reason, failure.error.message
    if old is not None and old.reason == failure.reason:
        condition.message = old.message
    condition.lastTransitionTime.CopyFrom(old.lastTransitionTime if old is not None else timestamps.to_time(now))
