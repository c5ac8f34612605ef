"""A DaemonSet's pods: which nodes should have one, and how one for a node is made.

After upstream's ``NodeShouldRunDaemonPod`` and ``AddOrUpdateDaemonPodTolerations`` (``pkg/controller/daemon``).
https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.apps.revisions import POD_HASH
from kubelab.apimachinery.core.nodeaffinity import NODE_NAME, RequiredNodeAffinity
from kubelab.apimachinery.scheme import DAEMON_SETS
from kubelab.apimachinery.taints import (
    NO_EXECUTE,
    NO_SCHEDULE,
    NOT_READY,
    UNREACHABLE,
    UNSCHEDULABLE,
    tolerated,
)
from kubelab.controllermanager.podcontrol import pod_from_template

TEMPLATE_GENERATION = "pod-template-generation"
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
_ALWAYS = (
    (NOT_READY, NO_EXECUTE),
    (UNREACHABLE, NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", NO_SCHEDULE),
    (UNSCHEDULABLE, NO_SCHEDULE),
)
_ON_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", NO_SCHEDULE)


def tolerations(spec: core_pb2.PodSpec) -> list[core_pb2.Toleration]:
    """Give the template's tolerations, and those that every daemon has besides: a daemon stays on a node in trouble."""
    added = (*_ALWAYS, _ON_HOST_NETWORK) if spec.hostNetwork else _ALWAYS
    result = [*spec.tolerations]
    for key, effect in added:
        toleration = core_pb2.Toleration(key=key, operator="Exists", effect=effect)
        if toleration not in result:
            result.append(toleration)
    return result


def make_pod(daemon_set: apps_pb2.DaemonSet, node: str, digest: str) -> core_pb2.Pod:
    """Make the pod for a node: the scheduler places it, and node affinity leaves it no other choice."""
    pod = pod_from_template(daemon_set.spec.template, daemon_set, DAEMON_SETS)
    labels, generation = pod.metadata.labels, daemon_set.metadata.annotations.get(GENERATION_ANNOTATION, "")
    labels[POD_HASH] = digest
    if generation:
        labels[TEMPLATE_GENERATION] = generation
    del pod.spec.tolerations[:]
    pod.spec.tolerations.extend(tolerations(daemon_set.spec.template.spec))
    required = pod.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    del required.nodeSelectorTerms[:]
    required.nodeSelectorTerms.add().matchFields.add(key=NODE_NAME, operator="In", values=[node])
    return pod


def node_of(pod: core_pb2.Pod) -> str:
    """Give the node that a daemon is on, or is meant for; ``""`` where nothing says it."""
    if pod.spec.nodeName:
        return pod.spec.nodeName
    terms = pod.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms
    for term in terms:
        for field in term.matchFields:
            if field.key == NODE_NAME and field.operator == "In" and len(field.values) == 1:
                return field.values[0]
    return ""


class Placement:
    """Which nodes a DaemonSet's template fits; read once, asked for every node."""

    def __init__(self, daemon_set: apps_pb2.DaemonSet) -> None:
        spec = daemon_set.spec.template.spec
        self._node, self._affinity = spec.nodeName, RequiredNodeAffinity.of(spec)
        self._tolerations: Sequence[core_pb2.Toleration] = tolerations(spec)

    def should_run(self, node: core_pb2.Node) -> bool:
        """Say whether the node should get a pod."""
        return self._fits(node) and not self._repelled(node, NO_EXECUTE, NO_SCHEDULE)

    def may_stay(self, node: core_pb2.Node) -> bool:
        """Say whether a pod that the node has may go on running."""
        return self._fits(node) and not self._repelled(node, NO_EXECUTE)

    def _fits(self, node: core_pb2.Node) -> bool:
        name = node.metadata.name
        return self._node in ("", name) and self._affinity.matches(node.metadata.labels, name)

    def _repelled(self, node: core_pb2.Node, *effects: str) -> bool:
        return any(t.effect in effects and not tolerated(self._tolerations, t) for t in node.spec.taints)
