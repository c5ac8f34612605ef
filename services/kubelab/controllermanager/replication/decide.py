"""What a replication controller should do next: pure functions of the controller and its pods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labels, timestamps
from kubelab.apimachinery.core.conditions import get_condition
from kubelab.apimachinery.core.pods import available_in, is_ready
from kubelab.apimachinery.errors import ApiError
from kubelab.controllermanager.podranking import rank_for_deletion

BURST = 500  # creations, or deletions, of one sync
REPLICA_FAILURE = "ReplicaFailure"


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


def plan(rc: core_pb2.ReplicationController, pods: Sequence[core_pb2.Pod], now: float) -> Plan:
    """Compare the active pods with ``spec.replicas``. ``now`` is wall time in seconds."""
    missing = replicas(rc) - len(pods)
    if missing >= 0:
        return Plan(create=min(missing, BURST))
    return Plan(delete=tuple(rank_for_deletion(pods, pods, now)[: min(-missing, BURST)]))


def replicas(rc: core_pb2.ReplicationController) -> int:
    """Give ``spec.replicas``; unset means one."""
    return rc.spec.replicas if rc.spec.HasField("replicas") else 1


def status(
    rc: core_pb2.ReplicationController, pods: Sequence[core_pb2.Pod], failure: Failure | None, now: float
) -> core_pb2.ReplicationControllerStatus:
    """Work out the status. ``failure`` is why not all pods could be created or deleted."""
    result = core_pb2.ReplicationControllerStatus(observedGeneration=rc.metadata.generation)
    for pod in pods:
        result.replicas += 1
        result.fullyLabeledReplicas += labels.select(rc.spec.template.metadata.labels, pod.metadata.labels)
        if is_ready(pod):
            result.readyReplicas += 1
            result.availableReplicas += available_in(pod, rc.spec.minReadySeconds, now) == 0
    result.conditions.extend(c for c in rc.status.conditions if c.type != REPLICA_FAILURE)
    if failure is not None:
        result.conditions.append(_failure_condition(rc, failure, now))
    return result


def _failure_condition(
    rc: core_pb2.ReplicationController, failure: Failure, now: float
) -> core_pb2.ReplicationControllerCondition:
    """Write each reason once. Messages name the pod that was not created, another one each time: a condition with a new
    message would bring the controller's key back at once, whatever its back-off."""
    old = get_condition(rc.status.conditions, REPLICA_FAILURE)
    if old is not None and old.reason == failure.reason:
        return old
    return core_pb2.ReplicationControllerCondition(
        type=REPLICA_FAILURE,
        status="True",
        reason=failure.reason,
        message=failure.error.message,
        lastTransitionTime=old.lastTransitionTime if old is not None else timestamps.to_time(now),
    )
