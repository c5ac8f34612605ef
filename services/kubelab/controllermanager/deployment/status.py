"""The status of a Deployment: counts, and the conditions that tell how its rollout goes. Pure functions.

After ``progress.go`` and ``calculateStatus`` of upstream's deployment controller
(https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status). Times are wall time in
seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import timestamps
from kubelab.apimachinery.apps.deployments import (
    AVAILABLE,
    PROGRESSING,
    REPLICA_FAILURE,
    TIMED_OUT,
    has_deadline,
    is_complete,
    max_unavailable,
    replicas,
)
from kubelab.apimachinery.core.conditions import FALSE, TRUE, UNKNOWN, get_condition
from kubelab.apimachinery.meta import meta_of

CREATED, FOUND, UPDATED = "NewReplicaSetCreated", "FoundNewReplicaSet", "ReplicaSetUpdated"
COMPLETE, CREATE_ERROR = "NewReplicaSetAvailable", "ReplicaSetCreateError"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"

Status = apps_pb2.DeploymentStatus
New = apps_pb2.ReplicaSet | None


def calculated(deployment: apps_pb2.Deployment, new: New, old: Sequence[apps_pb2.ReplicaSet], now: float) -> Status:
    """Count the pods of all ReplicaSets and say whether enough are available; the other conditions stay."""
    sets = [*old, new] if new is not None else [*old]
    available = sum(rs.status.availableReplicas for rs in sets)
    status = Status(
        observedGeneration=deployment.metadata.generation,
        replicas=sum(rs.status.replicas for rs in sets),
        updatedReplicas=new.status.replicas if new is not None else 0,
        readyReplicas=sum(rs.status.readyReplicas for rs in sets),
        availableReplicas=available,
        unavailableReplicas=max(sum(map(replicas, sets)) - available, 0),
    )
    if deployment.status.HasField("collisionCount"):
        status.collisionCount = deployment.status.collisionCount
    status.conditions.extend(deployment.status.conditions)
    if available >= replicas(deployment) - max_unavailable(deployment):
        message = "Deployment has minimum availability."
        set_condition(status, AVAILABLE, TRUE, "MinimumReplicasAvailable", message, now)
    else:
        message = "Deployment does not have minimum availability."
        set_condition(status, AVAILABLE, FALSE, "MinimumReplicasUnavailable", message, now)
    return status


def progressed(deployment: apps_pb2.Deployment, new: New, old: Sequence[apps_pb2.ReplicaSet], now: float) -> Status:
    """Calculate the status during a rollout: whether it is complete, goes on, or has failed to for too long."""
    status = calculated(deployment, new, old, now)
    if not has_deadline(deployment):
        remove_condition(status, PROGRESSING)
    else:
        _write_progress(deployment, status, new, now)
    failure = _replica_failure(new, old)
    if failure is None:
        remove_condition(status, REPLICA_FAILURE)
    else:
        set_condition(status, REPLICA_FAILURE, failure.status, failure.reason, failure.message, now)
    return status


def _write_progress(deployment: apps_pb2.Deployment, status: Status, new: New, now: float) -> None:
    current = get_condition(deployment.status.conditions, PROGRESSING)
    if status.replicas == status.updatedReplicas and current is not None and current.reason == COMPLETE:
        return  # no rollout goes on
    what = f'ReplicaSet "{new.metadata.name}"' if new is not None else f'Deployment "{meta_of(deployment).name}"'
    if is_complete(deployment, status):
        set_condition(status, PROGRESSING, TRUE, COMPLETE, f"{what} has successfully progressed.", now)
    elif _makes_progress(deployment.status, status):
        # Also with the same reason the time of the update moves: the deadline counts from it.
        remove_condition(status, PROGRESSING)
        set_condition(status, PROGRESSING, TRUE, UPDATED, f"{what} is progressing.", now)
        if current is not None and current.status == TRUE:
            status.conditions[-1].lastTransitionTime.CopyFrom(current.lastTransitionTime)
    elif _timed_out(deployment, status, now):
        set_condition(status, PROGRESSING, FALSE, TIMED_OUT, f"{what} has timed out progressing.", now)


def _makes_progress(last: Status, status: Status) -> bool:
    return (
        status.updatedReplicas > last.updatedReplicas
        or status.replicas - status.updatedReplicas < last.replicas - last.updatedReplicas
        or status.readyReplicas > last.readyReplicas
        or status.availableReplicas > last.availableReplicas
    )


def _timed_out(deployment: apps_pb2.Deployment, status: Status, now: float) -> bool:
    condition = get_condition(status.conditions, PROGRESSING)
    if condition is None or condition.reason == COMPLETE:
        return False
    if condition.reason == TIMED_OUT:
        return True
    return timestamps.from_time(condition.lastUpdateTime) + deployment.spec.progressDeadlineSeconds < now


def check_in(deployment: apps_pb2.Deployment, status: Status, now: float) -> float | None:
    """Say in how many seconds the deadline passes, if the rollout makes no progress; None where nothing is awaited."""
    condition = get_condition(status.conditions, PROGRESSING)
    if not has_deadline(deployment) or condition is None or deployment.spec.paused:
        return None
    if is_complete(deployment, status) or condition.reason in (TIMED_OUT, COMPLETE):
        return None
    deadline = timestamps.from_time(condition.lastUpdateTime) + deployment.spec.progressDeadlineSeconds
    return max(deadline - now, 0) + 1  # times are in whole seconds


def note_pause(deployment: apps_pb2.Deployment, now: float) -> None:
    """Write into a Deployment's conditions that it is paused, or goes on, so that the time does not count. A rollout
    that failed stays so."""
    if not has_deadline(deployment):
        return
    condition = get_condition(deployment.status.conditions, PROGRESSING)
    if condition is not None and condition.reason == TIMED_OUT:
        return
    noted = condition is not None and condition.reason == PAUSED
    if deployment.spec.paused and not noted:
        set_condition(deployment.status, PROGRESSING, UNKNOWN, PAUSED, "Deployment is paused", now)
    elif not deployment.spec.paused and noted:
        set_condition(deployment.status, PROGRESSING, UNKNOWN, RESUMED, "Deployment is resumed", now)


def note_new(deployment: apps_pb2.Deployment, new: apps_pb2.ReplicaSet, now: float, *, created: bool) -> None:
    """Write into a Deployment's conditions that its new ReplicaSet was created, or found where nothing was noted."""
    if not has_deadline(deployment):
        return
    name = new.metadata.name
    if created:
        message = f'Created new replica set "{name}"'
        set_condition(deployment.status, PROGRESSING, TRUE, CREATED, message, now)
    elif get_condition(deployment.status.conditions, PROGRESSING) is None:
        set_condition(deployment.status, PROGRESSING, TRUE, FOUND, f'Found new replica set "{name}"', now)


def set_condition(status: Status, kind: str, state: str, reason: str, message: str, now: float) -> None:
    """Write one condition at the end, unless its state and reason are there already. Only a new state moves the
    transition time."""
    current = get_condition(status.conditions, kind)
    if current is not None and (current.status, current.reason) == (state, reason):
        return
    time = timestamps.to_time(now)
    since = current.lastTransitionTime if current is not None and current.status == state else time
    condition = apps_pb2.DeploymentCondition(type=kind, status=state, reason=reason, message=message)
    condition.lastUpdateTime.CopyFrom(time)
    condition.lastTransitionTime.CopyFrom(since)
    remove_condition(status, kind)
    status.conditions.append(condition)


def remove_condition(status: Status, kind: str) -> None:
    """Take one condition away."""
    kept = [condition for condition in status.conditions if condition.type != kind]
    if len(kept) != len(status.conditions):
        del status.conditions[:]
        status.conditions.extend(kept)


def _replica_failure(new: New, old: Sequence[apps_pb2.ReplicaSet]) -> apps_pb2.ReplicaSetCondition | None:
    """Find why pods could not be made; that of the new ReplicaSet counts first."""
    sets = [new, *old] if new is not None else [*old]
    return next((c for rs in sets for c in rs.status.conditions if c.type == REPLICA_FAILURE), None)
