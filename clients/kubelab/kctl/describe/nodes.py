"""Nodes, with what runs on them and how much of them it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.resource import quantity_pb2
from kubelab.apimachinery import quantity
from kubelab.kctl.describe import events
from kubelab.kctl.describe.writer import NONE, Writer, moment, zero_moment

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE = "kubernetes.io/role"
UNSET = "<unset>"
Amounts = Mapping[str, quantity_pb2.Quantity]


def describe(
    node: core_pb2.Node,
    lease: coordination_pb2.Lease | str,
    pods: Sequence[core_pb2.Pod],
    object_events: Sequence[core_pb2.Event] | None,
    now: float,
) -> str:
    """Describe a node. ``lease`` may be the message of the error that kept it from being read."""
    w = Writer()
    w.field("Name", node.metadata.name)
    w.field("Roles", ",".join(roles(node.metadata.labels)) or NONE)
    w.labels("Labels", node.metadata.labels)
    w.annotations("Annotations", node.metadata.annotations)
    w.field("CreationTimestamp", moment(node.metadata.creationTimestamp))
    w.several("Taints", taints(node.spec.taints))
    w.field("Unschedulable", "true" if node.spec.unschedulable else "false")
    _lease(w, lease)
    _conditions(w, node.status.conditions)
    w.line("Addresses:")
    for address in node.status.addresses:
        w.field(address.type, address.address, 1)
    for title, amounts in (("Capacity", node.status.capacity), ("Allocatable", node.status.allocatable)):
        if amounts:
            w.line(f"{title}:")
            for name in sorted(amounts):
                w.field(name, amounts[name].string, 1)
    _system(w, node)
    _usage(w, node.status.allocatable or node.status.capacity, pods, now)
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def roles(labels: Mapping[str, str]) -> list[str]:
    """Read the roles off a node's labels."""
    named = {key.removeprefix(ROLE_PREFIX) for key in labels if key.startswith(ROLE_PREFIX)}
    return sorted((named | {labels.get(ROLE, "")}) - {""})


def taints(node_taints: Sequence[core_pb2.Taint]) -> list[str]:
    """Give ``key=value:effect``, by effect and key."""
    return [
        f"{t.key}={t.value}:{t.effect}" if t.value else f"{t.key}:{t.effect}"
        for t in sorted(node_taints, key=lambda t: f"{t.effect},{t.key}")
    ]


def _lease(w: Writer, lease: coordination_pb2.Lease | str) -> None:
    if isinstance(lease, str):
        w.field("Lease", f"Failed to get lease: {lease}")
        return
    spec = lease.spec
    w.line("Lease:")
    w.field("HolderIdentity", spec.holderIdentity if spec.HasField("holderIdentity") else UNSET, 1)
    w.field("AcquireTime", moment(spec.acquireTime) if spec.HasField("acquireTime") else UNSET, 1)
    w.field("RenewTime", moment(spec.renewTime) if spec.HasField("renewTime") else UNSET, 1)


def _conditions(w: Writer, conditions: Sequence[core_pb2.NodeCondition]) -> None:
    if not conditions:
        return
    w.line("Conditions:")
    w.line("Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage", 1)
    w.line("----\t------\t-----------------\t------------------\t------\t-------", 1)
    for c in conditions:
        heartbeat = moment(c.lastHeartbeatTime) if c.HasField("lastHeartbeatTime") else zero_moment()
        transition = moment(c.lastTransitionTime) if c.HasField("lastTransitionTime") else zero_moment()
        w.line(f"{c.type} \t{c.status} \t{heartbeat} \t{transition} \t{c.reason} \t{c.message}", 1)


def _system(w: Writer, node: core_pb2.Node) -> None:
    info = node.status.nodeInfo
    w.line("System Info:")
    w.field("Machine ID", info.machineID, 1)
    w.field("System UUID", info.systemUUID, 1)
    w.field("Boot ID", info.bootID, 1)
    w.field("Kernel Version", info.kernelVersion, 1)
    w.field("OS Image", info.osImage, 1)
    w.field("Operating System", info.operatingSystem, 1)
    w.field("Architecture", info.architecture, 1)
    w.field("Container Runtime Version", info.containerRuntimeVersion, 1)
    w.field("Kubelet Version", info.kubeletVersion, 1)
    w.field("Kube-Proxy Version", info.kubeProxyVersion, 1)
    if node.spec.podCIDR:
        w.field("PodCIDR", node.spec.podCIDR)
    if node.spec.podCIDRs:
        w.field("PodCIDRs", ",".join(node.spec.podCIDRs))
    if node.spec.providerID:
        w.field("ProviderID", node.spec.providerID)


class _Share:
    """The requests of one resource, and their share of the node."""

    def __init__(self, name: str, available: Amounts) -> None:
        self._whole = quantity.amount(available[name]) if name in available else Fraction(0)
        self._name = name
        self._sum = Fraction(0)
        self._like = ""  # the first amount that was added gives the sum its form

    def add(self, amounts: Amounts) -> None:
        if self._name in amounts:
            more = quantity.amount(amounts[self._name])
            if not self._sum:
                self._like = amounts[self._name].string
            self._sum += more

    def __str__(self) -> str:
        percent = int(self._sum * 100 / self._whole) if self._whole else 0
        return f"{total(self._sum, self._like)} ({percent}%)"


def total(amount: Fraction, like: str) -> str:
    """Write a sum with the kind of suffix that ``like`` has: 1024s or 1000s."""
    if like.endswith("i"):
        for power, suffix in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
            if amount % 1024**power == 0:
                return f"{amount // 1024**power}{suffix}"
    return quantity.canonical(f"{math.ceil(amount * 1000)}m")


def _usage(w: Writer, available: Amounts, pods: Sequence[core_pb2.Pod], now: float) -> None:
    columns = [("cpu", "requests"), ("cpu", "limits"), ("memory", "requests"), ("memory", "limits")]
    w.field("Non-terminated Pods", f"({len(pods)} in total)")
    w.line("Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge", 1)
    w.line("---------\t----\t\t------------\t----------\t---------------\t-------------\t---", 1)
    extended = sorted(n for n in available if n not in ("cpu", "memory", "ephemeral-storage", "pods"))
    names = ["cpu", "memory", "ephemeral-storage", *extended]
    sums = {(name, side): _Share(name, available) for name in names for side in ("requests", "limits")}
    for pod in pods:
        shares = {key: _Share(key[0], available) for key in columns}
        for container in pod.spec.containers:
            sides: dict[str, Amounts] = {
                "requests": container.resources.requests,
                "limits": container.resources.limits,
            }
            for every in (shares, sums):
                for (_, side), share in every.items():
                    share.add(sides[side])
        cells = "\t".join(str(shares[key]) for key in columns)
        age = events.since(pod.metadata.creationTimestamp, now)
        w.line(f"{pod.metadata.namespace}\t{pod.metadata.name}\t\t{cells}\t{age}", 1)
    w.line("Allocated resources:")
    w.line("(Total limits may be over 100 percent, i.e., overcommitted.)", 1)
    w.line("Resource\tRequests\tLimits", 1)
    w.line("--------\t--------\t------", 1)
    for name in names:
        w.line(f"{name}\t{sums[name, 'requests']}\t{sums[name, 'limits']}", 1)
