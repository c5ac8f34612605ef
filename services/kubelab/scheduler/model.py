"""What the scheduler sees of pods and nodes: everything that plugins ask for, read once from the messages.

A :class:`PodInfo` never changes. A :class:`NodeInfo` is the sum of the pods on it and is kept by the cache alone;
plugins only read it. Units: CPU in thousandths of a core, memory and storage in bytes.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from dataclasses import dataclass, field

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import taints
from kubelab.apimachinery.core import podresources
from kubelab.apimachinery.core.nodeaffinity import NodeTerm, RequiredNodeAffinity, preferred_terms
from kubelab.apimachinery.core.podresources import HostPort
from kubelab.apimachinery.meta import get_controller_of
from kubelab.apimachinery.quantity import milli_value, value
from kubelab.apimachinery.timestamps import from_time
from kubelab.scheduler.podterms import Neighbours, neighbours

# What a container without a request counts for in scores, so that such pods spread as well.
# https://github.com/kubernetes/kubernetes/blob/v1.32.0/pkg/scheduler/util/pod_resources.go
DEFAULT_MILLI_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class PodInfo:
    """A pod as plugins read it."""

    pod: core_pb2.Pod
    key: str
    uid: str
    namespace: str
    name: str
    node: str
    priority: int
    labels: dict[str, str]
    cpu: int
    memory: int
    storage: int
    extended: dict[str, int]
    scored_cpu: int
    scored_memory: int
    node_affinity: RequiredNodeAffinity
    preferred_nodes: tuple[tuple[int, NodeTerm], ...]
    """Weights and terms."""
    neighbours: Neighbours
    images: tuple[str, ...]
    """The image of each container, with a tag."""
    gated: bool
    """Whether it has scheduling gates."""
    tolerations: tuple[core_pb2.Toleration, ...]
    host_ports: tuple[HostPort, ...]
    owner: meta_pb2.OwnerReference | None
    terminating: bool
    never_preempts: bool
    started: float
    """When its kubelet took note of it, in wall time; infinite while none has."""
    nominated: str
    """The node on which room is made for it, as its status says."""

    @staticmethod
    def of(pod: core_pb2.Pod) -> PodInfo:
        """Read a pod. Raises ValueError for a request that is no quantity and a selector that is none (the api-server
        lets neither in)."""
        meta, spec = pod.metadata, pod.spec
        sums = podresources.requests(pod)
        scored_cpu = scored_memory = 0
        for container in spec.containers:
            requests = container.resources.requests
            scored_cpu += milli_value(requests["cpu"].string) if "cpu" in requests else DEFAULT_MILLI_CPU
            scored_memory += value(requests["memory"].string) if "memory" in requests else DEFAULT_MEMORY
        return PodInfo(
            pod=pod,
            key=f"{meta.namespace}/{meta.name}",
            uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            node=spec.nodeName,
            priority=spec.priority,
            labels=dict(meta.labels),
            cpu=sums.pop("cpu", 0),
            memory=sums.pop("memory", 0),
            storage=sums.pop("ephemeral-storage", 0),
            extended={name: amount for name, amount in sums.items() if amount},
            scored_cpu=scored_cpu,
            scored_memory=scored_memory,
            node_affinity=RequiredNodeAffinity.of(spec),
            preferred_nodes=preferred_terms(spec),
            neighbours=neighbours(pod),
            images=tuple(_with_tag(c.image) for c in (*spec.initContainers, *spec.containers)),
            gated=bool(spec.schedulingGates),
            tolerations=tuple(spec.tolerations),
            host_ports=podresources.host_ports(pod),
            owner=get_controller_of(pod),
            terminating=meta.HasField("deletionTimestamp"),
            never_preempts=spec.preemptionPolicy == "Never",
            started=from_time(pod.status.startTime) if pod.status.HasField("startTime") else math.inf,
            nominated=pod.status.nominatedNodeName,
        )


@dataclass(slots=True, eq=False)
class NodeInfo:
    """A node and the sum of what its pods ask for. ``present`` is False while only its pods are known."""

    name: str
    tie_breaker: int = 0
    """A number drawn from the name: among equal nodes it decides, together with the pod's."""
    present: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    hard_taints: tuple[core_pb2.Taint, ...] = ()
    soft_taints: tuple[core_pb2.Taint, ...] = ()
    unschedulable: bool = False
    cpu: int = 0
    memory: int = 0
    storage: int = 0
    max_pods: int = 0
    extended: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    """Bytes by every name of an image that the node has."""
    used_cpu: int = 0
    used_memory: int = 0
    used_storage: int = 0
    used_extended: Counter[str] = field(default_factory=Counter)
    scored_cpu: int = 0
    scored_memory: int = 0
    host_ports: Counter[HostPort] = field(default_factory=Counter)
    pods: dict[str, PodInfo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tie_breaker = zlib.crc32(self.name.encode())

    def describe(self, node: core_pb2.Node) -> None:
        """Take over what the node object says."""
        allocatable = node.status.allocatable
        amounts = {name: podresources.amount(name, q.string) for name, q in allocatable.items()}
        self.present = True
        self.labels = dict(node.metadata.labels)
        self.hard_taints = tuple(t for t in node.spec.taints if t.effect in (taints.NO_SCHEDULE, taints.NO_EXECUTE))
        self.soft_taints = tuple(t for t in node.spec.taints if t.effect == taints.PREFER_NO_SCHEDULE)
        self.unschedulable = node.spec.unschedulable
        self.cpu = amounts.pop("cpu", 0)
        self.memory = amounts.pop("memory", 0)
        self.storage = amounts.pop("ephemeral-storage", 0)
        self.max_pods = amounts.pop("pods", 0)
        self.extended = amounts
        self.images = {name: image.sizeBytes for image in node.status.images for name in image.names}

    def add(self, pod: PodInfo) -> None:
        """Count a pod in."""
        self.pods[pod.uid] = pod
        self._count(pod, 1)

    def remove(self, pod: PodInfo) -> None:
        """Count a pod out."""
        del self.pods[pod.uid]
        self._count(pod, -1)

    def _count(self, pod: PodInfo, sign: int) -> None:
        self.used_cpu += sign * pod.cpu
        self.used_memory += sign * pod.memory
        self.used_storage += sign * pod.storage
        self.scored_cpu += sign * pod.scored_cpu
        self.scored_memory += sign * pod.scored_memory
        for name, amount in pod.extended.items():
            self.used_extended[name] += sign * amount
        for port in pod.host_ports:
            self.host_ports[port] += sign
            if not self.host_ports[port]:
                del self.host_ports[port]

    def check_invariants(self) -> None:
        """Raise AssertionError unless every sum is the sum of the pods."""
        again = NodeInfo(self.name)
        for pod in self.pods.values():
            again.add(pod)
        for name in ("used_cpu", "used_memory", "used_storage", "scored_cpu", "scored_memory", "host_ports"):
            assert getattr(self, name) == getattr(again, name), (self.name, name)
        assert +self.used_extended == +again.used_extended, self.name


def _with_tag(image: str) -> str:
    """Give an image's name as nodes list it: with the tag ``latest`` where there is none."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"
