"""What a DaemonSet should do next: pure functions of the nodes and of its pods.

After upstream's ``podsShouldBeOnNode`` and ``rollingUpdate`` (``pkg/controller/daemon``).
https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import intstr
from kubelab.apimachinery.apps.revisions import POD_HASH
from kubelab.apimachinery.core.pods import FAILED, SUCCEEDED, available_in, is_ready
from kubelab.apimachinery.meta import is_terminating
from kubelab.controllermanager.daemonset.pods import Placement, node_of

BURST = 250  # creations, or deletions, of one sync
ByNode = Mapping[str, Sequence[core_pb2.Pod]]


@dataclass(slots=True)
class Plan:
    """Nodes that get a pod; pods to delete; and those of them that ended, of which an event tells."""

    create: list[str] = field(default_factory=list[str])
    delete: list[core_pb2.Pod] = field(default_factory=list[core_pb2.Pod])
    ended: list[core_pb2.Pod] = field(default_factory=list[core_pb2.Pod])

    def __bool__(self) -> bool:
        return bool(self.create or self.delete)


def by_node(pods: Iterable[core_pb2.Pod]) -> ByNode:
    """Sort pods by the node that each is on, or is meant for, the oldest first."""
    result: dict[str, list[core_pb2.Pod]] = {}
    for pod in sorted(pods, key=lambda pod: (pod.metadata.creationTimestamp.seconds, pod.metadata.name)):
        result.setdefault(node_of(pod), []).append(pod)
    return result


def manage(
    daemon_set: apps_pb2.DaemonSet, nodes: Sequence[core_pb2.Node], pods: ByNode, digest: str, now: float
) -> Plan:
    """See to it that every node that should have a pod has one, and no other. ``digest`` is the hash of the present
    revision, ``now`` wall time in seconds."""
    todo, placement = Plan(), Placement(daemon_set)
    names = {node.metadata.name for node in nodes}
    for node in nodes:
        mine = pods.get(node.metadata.name, ())
        if not placement.may_stay(node):
            todo.delete += [pod for pod in mine if not is_terminating(pod)]
        elif not mine:
            if placement.should_run(node):
                todo.create.append(node.metadata.name)
        else:
            _on_node(daemon_set, mine, digest, now, todo)
    for name, lost in pods.items():  # a node that is gone gets no pod bound any more
        if name not in names:
            todo.delete += [pod for pod in lost if not pod.spec.nodeName and not is_terminating(pod)]
    return todo


def _on_node(daemon_set: apps_pb2.DaemonSet, pods: Sequence[core_pb2.Pod], digest: str, now: float, todo: Plan) -> None:
    running: list[core_pb2.Pod] = []
    for pod in pods:
        if is_terminating(pod):
            continue
        if pod.status.phase in (FAILED, SUCCEEDED):
            todo.delete.append(pod)
            todo.ended.append(pod)
        else:
            running.append(pod)
    if len(running) <= 1:
        return
    if not surges(daemon_set):
        todo.delete += running[1:]
        return
    new = [pod for pod in running if is_current(pod, digest)]
    old = [pod for pod in running if not is_current(pod, digest)]
    todo.delete += new[1:] + old[1:]
    if new and old and (not is_ready(old[0]) or is_available(daemon_set, new[0], now)):
        todo.delete.append(old[0])


def is_current(pod: core_pb2.Pod, digest: str) -> bool:
    """Say whether a pod is of the present revision."""
    return pod.metadata.labels.get(POD_HASH, "") == digest


def is_available(daemon_set: apps_pb2.DaemonSet, pod: core_pb2.Pod, now: float) -> bool:
    """Say whether a pod has been ready for long enough."""
    return available_in(pod, daemon_set.spec.minReadySeconds, now) == 0


def surges(daemon_set: apps_pb2.DaemonSet) -> bool:
    """Say whether a node may have two pods for a while."""
    update = daemon_set.spec.updateStrategy
    return (
        update.type == "RollingUpdate"
        and intstr.is_set(update.rollingUpdate.maxSurge)
        and bounds(daemon_set, 100)[1] > 0
    )


def bounds(daemon_set: apps_pb2.DaemonSet, desired: int) -> tuple[int, int]:
    """Give how many pods may be missing, and how many nodes may have two, with so many nodes; never both zero."""
    rolling = daemon_set.spec.updateStrategy.rollingUpdate
    unavailable = intstr.scaled(rolling.maxUnavailable, desired, round_up=True)
    surge = intstr.scaled(rolling.maxSurge, desired, round_up=True)
    return (unavailable if unavailable or surge else 1), surge


def roll(daemon_set: apps_pb2.DaemonSet, nodes: Sequence[core_pb2.Node], pods: ByNode, digest: str, now: float) -> Plan:
    """Replace as many pods of older revisions as the bounds of the rolling update allow."""
    placement = Placement(daemon_set)
    wanted = [node.metadata.name for node in nodes if placement.should_run(node)]
    unavailable, surge = bounds(daemon_set, len(wanted))
    pairs = {name: _pair(pods.get(name, ()), digest) for name in wanted}
    if surge:
        return _surge(daemon_set, pairs, surge, now)
    missing = 0
    dead: list[core_pb2.Pod] = []
    candidates: list[core_pb2.Pod] = []
    for new, old in pairs.values():
        if new is None and old is not None and is_available(daemon_set, old, now):
            candidates.append(old)
            continue
        missing += new is None or old is not None or not is_available(daemon_set, new, now)
        if new is None and old is not None:
            dead.append(old)  # it serves nobody: replace it whatever the bound
    return Plan(delete=dead + candidates[: max(unavailable - missing, 0)])


def _surge(
    daemon_set: apps_pb2.DaemonSet,
    pairs: Mapping[str, tuple[core_pb2.Pod | None, core_pb2.Pod | None]],
    surge: int,
    now: float,
) -> Plan:
    todo = Plan()
    used = 0
    candidates: list[str] = []
    for name, (new, old) in pairs.items():
        if old is None:
            continue
        if new is None:
            (candidates if is_available(daemon_set, old, now) else todo.create).append(name)
        elif not is_available(daemon_set, old, now) or is_available(daemon_set, new, now):
            todo.delete.append(old)
        else:
            used += 1
    todo.create += candidates[: max(surge - used, 0)]
    return todo


def _pair(pods: Sequence[core_pb2.Pod], digest: str) -> tuple[core_pb2.Pod | None, core_pb2.Pod | None]:
    """Give a node's pods of the present and of an older revision that are not being deleted."""
    staying = [pod for pod in pods if not is_terminating(pod)]
    new = next((pod for pod in staying if is_current(pod, digest)), None)
    return new, next((pod for pod in staying if not is_current(pod, digest)), None)


def status(
    daemon_set: apps_pb2.DaemonSet,
    nodes: Sequence[core_pb2.Node],
    pods: ByNode,
    digest: str,
    collisions: int,
    now: float,
) -> apps_pb2.DaemonSetStatus:
    """Count the nodes that should have a pod, and those that have one."""
    result = apps_pb2.DaemonSetStatus(observedGeneration=daemon_set.metadata.generation)
    result.conditions.extend(daemon_set.status.conditions)
    if collisions or daemon_set.status.HasField("collisionCount"):
        result.collisionCount = collisions
    placement = Placement(daemon_set)
    for node in nodes:
        mine = pods.get(node.metadata.name, ())
        if not placement.should_run(node):
            result.numberMisscheduled += bool(mine)
            continue
        result.desiredNumberScheduled += 1
        if not mine:
            continue
        result.currentNumberScheduled += 1
        staying = [pod for pod in mine if not is_terminating(pod)]
        result.numberReady += any(is_ready(pod) for pod in staying)
        result.numberAvailable += any(is_available(daemon_set, pod, now) for pod in staying)
        result.updatedNumberScheduled += any(is_current(pod, digest) for pod in staying)
    result.numberUnavailable = result.desiredNumberScheduled - result.numberAvailable
    return result
