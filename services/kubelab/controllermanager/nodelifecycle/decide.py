"""What a node's heartbeats mean: pure functions of the node, of its last heartbeat, and of the other nodes.

::

    Ready=True ──silent for the grace period──▶ Ready=Unknown ──new heartbeat▶ whatever the kubelet says
       │ no taints                                 │ node.kubernetes.io/unreachable: NoSchedule, then NoExecute
       └──kubelet says False──▶ Ready=False        │
                                  └ node.kubernetes.io/not-ready: NoSchedule, then NoExecute

https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import taints, timestamps
from kubelab.apimachinery.core.conditions import get_condition
from kubelab.apimachinery.messages import deep_copy

READY = "Ready"
PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
HEARTBEAT_CONDITIONS = (READY, "MemoryPressure", "DiskPressure", "PIDPressure")
HEALTH_TAINTS = (taints.NOT_READY, taints.UNREACHABLE)
OWN_NO_SCHEDULE = frozenset({*HEALTH_TAINTS, taints.UNSCHEDULABLE, *PRESSURES.values()})


def ready_status(node: core_pb2.Node) -> str:
    """Give ``True``, ``False`` or ``Unknown``; a node that never said is Unknown."""
    condition = get_condition(node.status.conditions, READY)
    return condition.status if condition is not None else "Unknown"


def heartbeat(node: core_pb2.Node, lease_renewed: str) -> tuple[object, ...]:
    """Everything by which a kubelet shows that it lives; only whether it changes matters, never what time it says."""
    ready = get_condition(node.status.conditions, READY)
    return (node.metadata.uid, lease_renewed, ready.lastHeartbeatTime.seconds if ready is not None else 0)


def with_unknown_conditions(node: core_pb2.Node, now: float) -> core_pb2.Node | None:
    """Copy a node with the conditions that a silent one gets; None when it has them. ``now`` is wall time."""
    changed = deep_copy(node)
    moved = False
    for kind in HEARTBEAT_CONDITIONS:
        condition = get_condition(changed.status.conditions, kind)
        if condition is None:
            condition = changed.status.conditions.add(type=kind, reason="NodeStatusNeverUpdated")
            condition.message = "Kubelet never posted node status."
            condition.lastHeartbeatTime.CopyFrom(node.metadata.creationTimestamp)
        elif condition.status == "Unknown":
            continue
        else:
            condition.reason, condition.message = "NodeStatusUnknown", "Kubelet stopped posting node status."
        condition.status = "Unknown"
        condition.lastTransitionTime.CopyFrom(timestamps.to_time(now))
        moved = True
    return changed if moved else None


class Zone(enum.Enum):
    """How many of the nodes are healthy, in upstream's words."""

    NORMAL = "Normal"
    PARTIAL_DISRUPTION = "PartialDisruption"
    FULL_DISRUPTION = "FullDisruption"


def zone_state(statuses: Iterable[str], unhealthy_threshold: float = 0.55) -> Zone:
    """Judge by the Ready status of all nodes: where none is ready, the control plane itself is cut off."""
    all_statuses = [*statuses]
    ready = sum(status == "True" for status in all_statuses)
    unready = len(all_statuses) - ready
    if unready and not ready:
        return Zone.FULL_DISRUPTION
    if unready > 2 and unready / len(all_statuses) >= unhealthy_threshold:
        return Zone.PARTIAL_DISRUPTION
    return Zone.NORMAL


def wanted_taints(node: core_pb2.Node, *, evict: bool) -> list[tuple[str, str]]:
    """List key and effect of the taints that the node's conditions ask for; NoExecute only where it may ``evict``."""
    pairs: list[tuple[str, str]] = []
    status = ready_status(node)
    if (
        get_condition(node.status.conditions, READY) is None
    ):  # just registered: nothing may come, but nothing need go either
        pairs.append((taints.NOT_READY, taints.NO_SCHEDULE))
    elif status != "True":
        key = taints.NOT_READY if status == "False" else taints.UNREACHABLE
        pairs.append((key, taints.NO_SCHEDULE))
        if evict:
            pairs.append((key, taints.NO_EXECUTE))
    for kind, key in PRESSURES.items():
        condition = get_condition(node.status.conditions, kind)
        if condition is not None and condition.status == "True":
            pairs.append((key, taints.NO_SCHEDULE))
    if node.spec.unschedulable:
        pairs.append((taints.UNSCHEDULABLE, taints.NO_SCHEDULE))
    return pairs


def with_taints(node: core_pb2.Node, pairs: Iterable[tuple[str, str]], now: float) -> core_pb2.Node | None:
    """Copy a node with these health taints and all other taints; None when it has them. ``now`` is wall time."""
    desired = [*pairs]
    kept = [t for t in node.spec.taints if not _ours(t) or (t.key, t.effect) in desired]
    have = {(t.key, t.effect) for t in kept}
    added = [pair for pair in desired if pair not in have]
    if not added and len(kept) == len(node.spec.taints):
        return None
    changed = deep_copy(node)
    del changed.spec.taints[:]
    changed.spec.taints.extend(kept)
    for key, effect in added:
        changed.spec.taints.add(key=key, effect=effect, timeAdded=timestamps.to_time(now))
    return changed


def evicting(node: core_pb2.Node) -> bool:
    """Say whether the node carries one of our NoExecute taints."""
    return any(t.key in HEALTH_TAINTS and t.effect == taints.NO_EXECUTE for t in node.spec.taints)


def _ours(taint: core_pb2.Taint) -> bool:
    if taint.effect == taints.NO_EXECUTE:
        return taint.key in HEALTH_TAINTS
    return taint.effect == taints.NO_SCHEDULE and taint.key in OWN_NO_SCHEDULE


def evict_at(pod: core_pb2.Pod, node: core_pb2.Node, now: float) -> float | None:
    """Say when a pod must leave its node, in wall seconds; None when every NoExecute taint is tolerated for ever.

    Of several tolerations that cover a taint the first one counts, as upstream. The time that a pod is granted counts
    from when the taint was added, so a controller that starts anew keeps count.
    """
    deadline: float | None = None
    for taint in node.spec.taints:
        if taint.effect != taints.NO_EXECUTE:
            continue
        first = next((t for t in pod.spec.tolerations if taints.tolerates(t, taint)), None)
        if first is None:
            return now
        if first.HasField("tolerationSeconds"):
            since = taint.timeAdded.seconds if taint.HasField("timeAdded") else now
            leave = max(since + max(first.tolerationSeconds, 0), now)
            deadline = leave if deadline is None else min(deadline, leave)
    return deadline
