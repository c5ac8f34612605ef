"""What a replication controller should do next: pure functions of the controller and its pods."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cmp_to_key

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labels, timestamps
from kubelab.apimachinery.core.conditions import get_condition
from kubelab.apimachinery.core.pods import is_ready, is_terminal, ready_since
from kubelab.apimachinery.errors import ApiError
from kubelab.apimachinery.meta import get_controller_of, is_terminating, new_controller_ref
from kubelab.apimachinery.scheme import REPLICATION_CONTROLLERS

BURST = 500  # creations, or deletions, of one sync
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
REPLICA_FAILURE = "ReplicaFailure"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class Claims:
    """Whose pods are whose: the controller's own, those to adopt, those to let go."""

    own: tuple[core_pb2.Pod, ...]
    adopt: tuple[core_pb2.Pod, ...]
    release: tuple[core_pb2.Pod, ...]


def claims(rc: core_pb2.ReplicationController, pods: Iterable[core_pb2.Pod]) -> Claims:
    """Sort pods by owner reference and selector. A controller that is being deleted neither adopts nor releases."""
    own: list[core_pb2.Pod] = []
    adopt: list[core_pb2.Pod] = []
    release: list[core_pb2.Pod] = []
    leaving = is_terminating(rc)
    for pod in pods:
        owner, selected = get_controller_of(pod), labels.select(rc.spec.selector, pod.metadata.labels)
        if owner is not None and owner.uid == rc.metadata.uid:
            if selected or leaving:
                own.append(pod)
            else:
                release.append(pod)
        elif owner is None and selected and not leaving and not is_terminating(pod) and not is_terminal(pod):
            adopt.append(pod)
    return Claims(tuple(own), tuple(adopt), tuple(release))


def active(pods: Iterable[core_pb2.Pod]) -> list[core_pb2.Pod]:
    """Leave out pods that have ended or are on their way out: they count for nothing."""
    return [pod for pod in pods if not is_terminal(pod) and not is_terminating(pod)]


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
    """Compare the active pods with the number asked for. ``now`` is wall time in seconds."""
    missing = wanted(rc) - len(pods)
    if missing >= 0:
        return Plan(create=min(missing, BURST))
    on_node = Counter(pod.spec.nodeName for pod in pods)
    by_age = sorted(pods, key=cmp_to_key(lambda first, second: _less_is_lost(first, second, now)))
    ranked = sorted(by_age, key=lambda pod: deletion_rank(pod, on_node[pod.spec.nodeName]))
    return Plan(delete=tuple(ranked[: min(-missing, BURST)]))


def wanted(rc: core_pb2.ReplicationController) -> int:
    """Say how many replicas are asked for; unset means one."""
    return rc.spec.replicas if rc.spec.HasField("replicas") else 1


def deletion_rank(pod: core_pb2.Pod, on_node: int) -> tuple[object, ...]:
    """Order pods by how little is lost with them; ``on_node`` counts its siblings on the same node, itself included.
    Among equal ones :func:`_less_is_lost` decides.

    https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset
    """
    try:
        cost = int(pod.metadata.annotations.get(DELETION_COST, "0"))
    except ValueError:
        cost = 0  # upstream ignores what is no number, too
    return (
        bool(pod.spec.nodeName),
        _PHASES.get(pod.status.phase, 0),
        is_ready(pod),
        cost,
        -on_node,
    )


def _less_is_lost(first: core_pb2.Pod, second: core_pb2.Pod, now: float) -> int:
    """Compare by how long pods have been ready, by restarts, and by age: negative when the first one goes first."""
    ready = _younger(ready_since(first), ready_since(second), first, second, now)
    if ready:
        return ready
    if restarts := _restarts(second) - _restarts(first):
        return restarts
    return _younger(_created(first), _created(second), first, second, now)


def _younger(one: float | None, other: float | None, first: core_pb2.Pod, second: core_pb2.Pod, now: float) -> int:
    """Compare two times by the power of two that their ages reach, so that of pods of about the same age any may go
    (upstream's LogarithmicScaleDown); which one is drawn by uid. A time that nobody told is younger than all."""
    if one == other:
        return 0
    if one is None or other is None:
        return -1 if one is None else 1
    return _doublings(now - one) - _doublings(now - other) or (-1 if first.metadata.uid < second.metadata.uid else 1)


def _doublings(seconds: float) -> int:
    return int(math.log2(seconds * 1e9)) if seconds > 0 else -1


def _restarts(pod: core_pb2.Pod) -> int:
    return max((status.restartCount for status in pod.status.containerStatuses), default=0)


def _created(pod: core_pb2.Pod) -> float | None:
    return pod.metadata.creationTimestamp.seconds if pod.metadata.HasField("creationTimestamp") else None


def slow_start(count: int, initial: int = 1) -> Iterator[int]:
    """Split a number into batches of 1, 2, 4 …: where the first fails, hundreds more need not."""
    batch = initial
    while count > 0:
        size = min(batch, count)
        yield size
        count -= size
        batch *= 2


def pod_from_template(rc: core_pb2.ReplicationController) -> core_pb2.Pod:
    """Make the pod that the controller creates."""
    template = rc.spec.template
    pod = core_pb2.Pod(spec=template.spec)
    meta = pod.metadata
    meta.namespace = rc.metadata.namespace
    meta.generateName = f"{rc.metadata.name}-"
    meta.labels.update(template.metadata.labels)
    meta.annotations.update(template.metadata.annotations)
    meta.finalizers.extend(template.metadata.finalizers)
    meta.ownerReferences.append(new_controller_ref(rc, REPLICATION_CONTROLLERS))
    return pod


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
    """Tell of a failure once. A message names the pod that was not made, another one each time: written anew, it would
    bring the controller's key back at once, whatever its back-off."""
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


def available_in(pod: core_pb2.Pod, min_ready_seconds: int, now: float) -> float | None:
    """Say in how many seconds a pod counts as available: 0 now, None while it is not ready."""
    if not is_ready(pod):
        return None
    since = ready_since(pod)
    if not min_ready_seconds or since is None:
        return 0 if not min_ready_seconds else float(min_ready_seconds)
    return max(since + min_ready_seconds - now, 0)
