"""What the kubelet's Node object says: labels, capacity, conditions. Pure; the words are upstream's.

https://kubernetes.io/docs/reference/node/node-status/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubelab.api.core.v1 import core_pb2
from kubelab.api.resource import quantity_pb2
from kubelab.apimachinery.core.conditions import keep_transition_times
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.timestamps import to_time
from kubelab.apimachinery.version import GIT_VERSION
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.node.machine import Machine, Pressure

MAX_IMAGES = 50  # upstream's nodeStatusMaxImages
KIB = 1024
RESERVED_MEMORY_BYTES = 100 * KIB * KIB  # upstream's eviction threshold, memory.available<100Mi
ALLOCATABLE_STORAGE = 0.9  # nodefs.available<10%
RUNTIME_READY, NETWORK_READY = "RuntimeReady", "NetworkReady"
LIMITS_ENFORCED = "LimitsEnforced"
"""A condition of this runtime's own: containerd says nothing of the kind, and has none on its node."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node's status is made from at one moment. ``runtime`` is None while it does not answer."""

    name: str
    ip: str
    port: int
    machine: Machine
    max_pods: int
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    runtime_version: str = ""
    runtime: Sequence[cri.RuntimeCondition] | None = None
    images: Sequence[cri.Image] = ()
    pressure: Pressure = field(default_factory=Pressure)


def labels(facts: NodeFacts) -> dict[str, str]:
    """The labels that a kubelet keeps on its node. Those it was configured with are for a new node only: a later change
    of them is an administrator's."""
    machine = facts.machine
    return {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": machine.operating_system,
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": facts.name,
        "kubernetes.io/os": machine.operating_system,
    }


def new_node(facts: NodeFacts, now: float) -> core_pb2.Node:
    """The object to register with."""
    node = core_pb2.Node()
    node.metadata.name = facts.name
    node.metadata.labels.update({**labels(facts), **facts.labels})
    node.status.CopyFrom(status(facts, core_pb2.NodeStatus(), now))
    return node


def status(facts: NodeFacts, last: core_pb2.NodeStatus, now: float) -> core_pb2.NodeStatus:
    """The whole status at ``now``; conditions keep their transition times where they did not change."""
    machine = facts.machine
    result = core_pb2.NodeStatus(
        addresses=[
            core_pb2.NodeAddress(type="InternalIP", address=facts.ip),
            core_pb2.NodeAddress(type="Hostname", address=facts.name),
        ],
        daemonEndpoints=core_pb2.NodeDaemonEndpoints(kubeletEndpoint=core_pb2.DaemonEndpoint(Port=facts.port)),
        nodeInfo=core_pb2.NodeSystemInfo(
            machineID=machine.machine_id,
            systemUUID=machine.system_uuid,
            bootID=machine.boot_id,
            kernelVersion=machine.kernel_version,
            osImage=machine.os_image,
            containerRuntimeVersion=facts.runtime_version or last.nodeInfo.containerRuntimeVersion,
            kubeletVersion=GIT_VERSION,
            kubeProxyVersion=GIT_VERSION,
            operatingSystem=machine.operating_system,
            architecture=machine.architecture,
        ),
        images=images(facts.images),
    )
    memory = max(machine.memory_bytes - RESERVED_MEMORY_BYTES, 0)
    storage = int(machine.storage_bytes * ALLOCATABLE_STORAGE)
    _quantities(
        result.capacity, machine.cpus, machine.memory_bytes, f"{machine.storage_bytes // KIB}Ki", facts.max_pods
    )
    _quantities(result.allocatable, machine.cpus, memory, str(storage), facts.max_pods)
    result.conditions.extend(conditions(facts, last.conditions, now))
    return result


def allocatable(facts: NodeFacts) -> dict[str, str]:
    """What pods may ask for together, by resource."""
    return {name: amount.string for name, amount in new_node(facts, 0.0).status.allocatable.items()}


def _quantities(
    into: Mapping[str, quantity_pb2.Quantity], cpus: int, memory_bytes: int, storage: str, pods: int
) -> None:
    texts = {"cpu": str(cpus), "memory": f"{memory_bytes // KIB}Ki", "ephemeral-storage": storage, "pods": str(pods)}
    for name, text in texts.items():
        into[name].string = text


def conditions(facts: NodeFacts, last: Sequence[core_pb2.NodeCondition], now: float) -> list[core_pb2.NodeCondition]:
    """MemoryPressure, DiskPressure, PIDPressure, Ready, LimitsEnforced where the runtime says whether it can, and
    after them those that others keep."""
    pressure = facts.pressure
    ready, reason, message = readiness(facts.runtime)
    current = [
        _pressure("Memory", pressure.memory, "memory available"),
        _pressure("Disk", pressure.disk, "disk pressure"),
        _pressure("PID", pressure.pids, "PID available"),
        core_pb2.NodeCondition(type="Ready", status="True" if ready else "False", reason=reason, message=message),
    ]
    current += [
        core_pb2.NodeCondition(type=c.type, status="True" if c.status else "False", reason=c.reason, message=c.message)
        for c in facts.runtime or ()
        if c.type == LIMITS_ENFORCED
    ]
    for condition in current:
        condition.lastHeartbeatTime.CopyFrom(to_time(now))
    keep_transition_times(current, last, now)
    ours = {c.type for c in current}
    return [*current, *(c for c in last if c.type not in ours)]


def _pressure(kind: str, under: bool, what: str) -> core_pb2.NodeCondition:
    if kind == "Disk":
        reason = "KubeletHasDiskPressure" if under else "KubeletHasNoDiskPressure"
        message = f"kubelet has {what}" if under else f"kubelet has no {what}"
    else:
        word = "Insufficient" if under else "Sufficient"
        reason, message = f"KubeletHas{word}{kind}", f"kubelet has {word.lower()} {what}"
    return core_pb2.NodeCondition(
        type=f"{kind}Pressure", status="True" if under else "False", reason=reason, message=message
    )


def readiness(runtime: Sequence[cri.RuntimeCondition] | None) -> tuple[bool, str, str]:
    """Say whether pods can run here: status, reason and message of the condition Ready."""
    if runtime is None:
        return False, "KubeletNotReady", "container runtime is down"
    by_type = {c.type: c for c in runtime}
    wrong: list[str] = []
    for kind, text in (
        (RUNTIME_READY, "container runtime not ready"),
        (NETWORK_READY, "container runtime network not ready"),
    ):
        c = by_type.get(kind)
        if c is None:
            wrong.append(f"{text}: {kind} is not told")
        elif not c.status:
            wrong.append(f"{text}: {kind}=false reason:{c.reason} message:{c.message}")
    if not wrong:
        return True, "KubeletReady", "kubelet is posting ready status"
    return False, "KubeletNotReady", wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"


def images(listed: Sequence[cri.Image]) -> list[core_pb2.ContainerImage]:
    """The biggest images with their names, digests first, as upstream lists them."""
    biggest = sorted(listed, key=lambda i: (-i.size, i.id))[:MAX_IMAGES]
    return [core_pb2.ContainerImage(names=[*i.repo_digests, *i.repo_tags], sizeBytes=i.size) for i in biggest]


def changed(one: core_pb2.NodeStatus, other: core_pb2.NodeStatus) -> bool:
    """Compare two statuses without their heartbeats."""
    return _still(one) != _still(other)


def _still(given: core_pb2.NodeStatus) -> core_pb2.NodeStatus:
    copy = deep_copy(given)
    for condition in copy.conditions:
        condition.ClearField("lastHeartbeatTime")
    return copy


def transitions(last: core_pb2.NodeStatus, new: core_pb2.NodeStatus) -> list[str]:
    """Give the reasons of the events about changed conditions: NodeReady, NodeHasDiskPressure …"""
    before = {c.type: c.status for c in last.conditions}
    reasons: list[str] = []
    for c in new.conditions:
        if before.get(c.type) == c.status:
            continue
        if c.type == "Ready":
            if c.status == "True" or c.type in before:
                reasons.append("NodeReady" if c.status == "True" else "NodeNotReady")
        elif c.reason.startswith("KubeletHas"):
            reasons.append(c.reason.replace("Kubelet", "Node", 1))
    return reasons
