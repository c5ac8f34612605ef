"""What a StatefulSet should do next: pure functions of the set, its pods and its two revisions.

After upstream's ``updateStatefulSet`` (``pkg/controller/statefulset/stateful_set_control.go``). With the policy
OrderedReady one step is taken at a time: a pod is made when all before it are available, and deleted when all after it
are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.meta import is_terminating
from kubelab.controllermanager.statefulset.pods import (
    has_ended,
    is_available,
    is_healthy,
    is_running_and_ready,
    ordinal_of,
    revision_of,
)


@dataclass(frozen=True, slots=True)
class Slots:
    """The set's pods by ordinal: those that it asks for, and those that are too many."""

    wanted: range
    pods: Mapping[int, core_pb2.Pod]

    @property
    def condemned(self) -> list[int]:
        """The ordinals of the pods that go, the highest first."""
        return sorted((n for n in self.pods if n not in self.wanted), reverse=True)


@dataclass(slots=True)
class Plan:
    """Ordinals that get a pod, each with whether of the revision before the update; pods to delete, and of those the
    ones that ended by themselves."""

    create: dict[int, bool] = field(default_factory=dict[int, bool])
    delete: list[core_pb2.Pod] = field(default_factory=list[core_pb2.Pod])
    ended: list[core_pb2.Pod] = field(default_factory=list[core_pb2.Pod])


def slots(stateful_set: apps_pb2.StatefulSet, pods: Iterable[core_pb2.Pod]) -> Slots:
    """Sort the set's pods by ordinal."""
    start = stateful_set.spec.ordinals.start
    by_ordinal = {n: pod for pod in pods if (n := ordinal_of(stateful_set, pod)) is not None}
    return Slots(range(start, start + stateful_set.spec.replicas), by_ordinal)


def plan(stateful_set: apps_pb2.StatefulSet, seen: Slots, current: str, update: str, now: float) -> Plan:
    """Decide on the next step, or with the policy Parallel on all of them. ``current`` and ``update`` are names of
    revisions, ``now`` wall time in seconds."""
    todo = Plan()
    ordered = stateful_set.spec.podManagementPolicy != "Parallel"
    for ordinal in seen.wanted:
        if _replica(stateful_set, seen, ordinal, current != update, ordered, now, todo):
            return todo
    unhealthy = _first_unhealthy(seen)
    for ordinal in seen.condemned:
        pod = seen.pods[ordinal]
        if is_terminating(pod):
            if ordered:
                return todo
            continue
        if ordered and pod is not unhealthy and not is_available(stateful_set, pod, now):
            return todo
        todo.delete.append(pod)
        if ordered:
            return todo
    if not (todo.create or todo.delete) and stateful_set.spec.updateStrategy.type == "RollingUpdate":
        _roll(stateful_set, seen, update, todo)
    return todo


def _replica(
    stateful_set: apps_pb2.StatefulSet,
    seen: Slots,
    ordinal: int,
    updating: bool,
    ordered: bool,
    now: float,
    todo: Plan,
) -> bool:
    """Decide on one pod that there should be; True when the others have to wait for it."""
    pod = seen.pods.get(ordinal)
    if pod is None:
        todo.create[ordinal] = updating and ordinal - seen.wanted.start < _kept(stateful_set)
        return ordered
    if has_ended(pod):
        if not is_terminating(pod):
            todo.delete.append(pod)
            todo.ended.append(pod)
        return ordered
    return ordered and (is_terminating(pod) or not is_available(stateful_set, pod, now))


def _kept(stateful_set: apps_pb2.StatefulSet) -> int:
    """Give how many pods, from the first on, an update leaves as they are."""
    strategy = stateful_set.spec.updateStrategy
    return strategy.rollingUpdate.partition if strategy.type == "RollingUpdate" else 0


def _first_unhealthy(seen: Slots) -> core_pb2.Pod | None:
    ordered = [*seen.wanted, *sorted(n for n in seen.pods if n not in seen.wanted)]
    return next((pod for n in ordered if (pod := seen.pods.get(n)) is not None and not is_healthy(pod)), None)


def _roll(stateful_set: apps_pb2.StatefulSet, seen: Slots, update: str, todo: Plan) -> None:
    """Replace the last pod of another revision, when all after it are of this one and serve."""
    for ordinal in reversed(seen.wanted[_kept(stateful_set) :]):
        pod = seen.pods[ordinal]
        if revision_of(pod) != update and not is_terminating(pod):
            todo.delete.append(pod)
            return
        if not is_healthy(pod):
            return


def status(
    stateful_set: apps_pb2.StatefulSet, seen: Slots, current: str, update: str, collisions: int, now: float
) -> apps_pb2.StatefulSetStatus:
    """Count the pods. A rolling update is over when every pod is of the new revision and ready: it is the current one
    then."""
    result = apps_pb2.StatefulSetStatus(
        observedGeneration=stateful_set.metadata.generation,
        currentRevision=current,
        updateRevision=update,
        collisionCount=collisions,
    )
    result.conditions.extend(stateful_set.status.conditions)
    for pod in seen.pods.values():
        result.replicas += 1
        result.readyReplicas += is_running_and_ready(pod)
        result.availableReplicas += is_available(stateful_set, pod, now)
        if not is_terminating(pod):
            result.currentReplicas += revision_of(pod) == current
            result.updatedReplicas += revision_of(pod) == update
    rolling = stateful_set.spec.updateStrategy.type == "RollingUpdate"
    if rolling and result.updatedReplicas == result.replicas == result.readyReplicas == stateful_set.spec.replicas:
        result.currentReplicas, result.currentRevision = result.updatedReplicas, update
    return result
