"""Room on the node: requests, the number of pods, host ports.

https://kubernetes.io/docs/concepts/scheduling-eviction/resource-bin-packing/
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.apimachinery.core.podresources import port_is_taken
from kubelab.scheduler import clusterevents
from kubelab.scheduler.framework import MAX_SCORE, SKIP, Cluster, CycleState, Rejection, Skip
from kubelab.scheduler.model import NodeInfo, PodInfo
from kubelab.topology import reservedports

ROOM = frozenset({clusterevents.NODE_ADDED, clusterevents.NODE_RESIZED, clusterevents.POD_GONE})


class NodeResourcesFit:
    """Keep nodes with room for every request, then prefer the emptiest (LeastAllocated, CPU and memory alike)."""

    name = "NodeResourcesFit"
    weight = 1

    def pre_filter(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        if (
            len(node.pods) < node.max_pods
            and (not pod.cpu or node.used_cpu + pod.cpu <= node.cpu)
            and (not pod.memory or node.used_memory + pod.memory <= node.memory)
            and not (pod.storage or pod.extended)
        ):
            return None
        return self._explain(pod, node)

    def _explain(self, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        reasons: list[str] = []
        resolvable = True
        if len(node.pods) + 1 > node.max_pods:
            reasons.append("Too many pods")
        requests = [
            ("cpu", pod.cpu, node.used_cpu, node.cpu),
            ("memory", pod.memory, node.used_memory, node.memory),
            ("ephemeral-storage", pod.storage, node.used_storage, node.storage),
            *((n, a, node.used_extended[n], node.extended.get(n, 0)) for n, a in sorted(pod.extended.items())),
        ]
        for resource, amount, used, capacity in requests:
            if amount and amount > capacity - used:
                reasons.append(f"Insufficient {resource}")
                resolvable = resolvable and amount <= capacity
        return Rejection(self.name, tuple(reasons), ROOM, resolvable) if reasons else None

    def pre_score(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return None

    def score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        # The hottest lines of the scheduler, so written out: hundreds of nodes for each pod.
        cpu, memory = pod.scored_cpu, pod.scored_memory
        scores: list[int] = []
        for node in nodes:
            free_cpu = node.cpu - node.scored_cpu - cpu
            free_memory = node.memory - node.scored_memory - memory
            left_cpu = free_cpu * MAX_SCORE // node.cpu if free_cpu > 0 else 0
            left_memory = free_memory * MAX_SCORE // node.memory if free_memory > 0 else 0
            scores.append((left_cpu + left_memory) // 2)
        return scores


class NodeResourcesBalancedAllocation:
    """Prefer nodes on which CPU and memory would be used to the same share."""

    name = "NodeResourcesBalancedAllocation"
    weight = 1

    def pre_score(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        # it would leave every node as balanced as it was
        return SKIP if not (pod.cpu or pod.memory) else None

    def score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        cpu, memory = pod.cpu, pod.memory
        scores: list[int] = []
        for node in nodes:
            cpu_share = (node.used_cpu + cpu) / node.cpu if node.cpu else 1.0
            memory_share = (node.used_memory + memory) / node.memory if node.memory else 1.0
            if cpu_share > 1.0:
                cpu_share = 1.0
            if memory_share > 1.0:
                memory_share = 1.0
            deviation = abs(cpu_share - memory_share) / 2
            scores.append(int((1 - deviation) * MAX_SCORE))
        return scores


class NodePorts:
    """Keep nodes on which every host port that the pod asks for is free, and none is the node's own."""

    name = "NodePorts"
    rejection = Rejection(
        name,
        ("node(s) didn't have free ports for the requested pod ports",),
        frozenset({clusterevents.NODE_ADDED, clusterevents.POD_GONE}),
        resolvable=True,
    )

    def pre_filter(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        return SKIP if not pod.host_ports else None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        for port in pod.host_ports:
            if reservedports.owner(port[2], port[1]) or port_is_taken(port, node.host_ports):
                return self.rejection
        return None
