"""Whether this node takes a pod that a scheduler or a person bound to it. Pure; the words are upstream's
(``pkg/kubelet/lifecycle/predicate.go``).

The scheduler asks the same before it binds, but it is not the only one who may: a pod can name its node itself, and
two schedulers can give away the same room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.core import podresources
from kubelab.apimachinery.core.nodeaffinity import RequiredNodeAffinity
from kubelab.apimachinery.core.podresources import HostPort
from kubelab.kubelet.pods.plan import Waiting
from kubelab.topology import reservedports

NODE_AFFINITY = "NodeAffinity"
_FIRST = ("pods", "cpu", "memory", "ephemeral-storage")  # several may lack: the first of them is the reason


def refusal(
    pod: core_pb2.Pod,
    others: Sequence[core_pb2.Pod],
    allocatable: Mapping[str, str],
    labels: Mapping[str, str],
) -> Waiting | None:
    """Say why the node cannot take the pod beside the others that it has; None when it can.

    A resource that the node does not tell of is not counted, as upstream leaves those to the scheduler. Names that the
    api-server would not let in, but etcd may hold, are refused first: they become paths and arguments here.
    """
    if problem := _bad_names(pod):
        return Waiting("InvalidName", problem)
    requests, used = _requests(pod), Counter[str]()
    for other in others:
        used.update(_requests(other))
    for name in (*_FIRST, *sorted(requests.keys() - set(_FIRST))):
        if not requests[name] or name not in allocatable:
            continue
        capacity = podresources.amount(name, allocatable[name])
        if requests[name] > capacity - used[name]:
            text = f"requested: {requests[name]}, used: {used[name]}, capacity: {capacity}"
            return Waiting(f"OutOf{name}", f"Node didn't have enough resource: {name}, {text}")
    if not RequiredNodeAffinity.of(pod.spec).matches(labels, pod.spec.nodeName):
        return _predicate(NODE_AFFINITY, "node(s) didn't match Pod's node affinity/selector")
    taken = {port for other in others for port in podresources.host_ports(other)}
    if any(_is_taken(host_port, taken) for host_port in podresources.host_ports(pod)):
        return _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    return None


def _bad_names(pod: core_pb2.Pod) -> str:
    checks = [
        ("metadata.name", pod.metadata.name, names.dns_subdomain),
        ("metadata.namespace", pod.metadata.namespace, names.dns_label),
        ("metadata.uid", pod.metadata.uid, names.path_segment),
        *(("spec.containers.name", container.name, names.dns_label) for container in pod.spec.containers),
    ]
    return "; ".join(f"{field}: {value!a}: {problem}" for field, value, check in checks for problem in check(value)[:1])


def _predicate(name: str, text: str) -> Waiting:
    return Waiting(name, f"Predicate {name} failed: {text}")


def _requests(pod: core_pb2.Pod) -> Counter[str]:
    """What a pod asks for, itself as one of ``pods`` included."""
    sums = podresources.requests(pod)
    sums["pods"] += 1
    return sums


def _is_taken(host_port: HostPort, taken: Iterable[HostPort]) -> bool:
    """Is this port another pod's, or one of the node's own processes'?"""
    _, protocol, port = host_port
    return bool(reservedports.owner(port, protocol)) or podresources.port_is_taken(host_port, taken)
