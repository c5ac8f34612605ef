"""NodeRestriction: what a kubelet may not write into the objects that the Node authoriser lets it write. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction. Judged on the state that
the write replaces, in the transaction's own decision. Beyond upstream a kubelet may not set ``spec.podCIDR``: addresses
are given out by the controller-manager alone, and every node of a cluster has a route to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, cast

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.core.podreferences import config_map_names, secret_names
from kubelab.apimachinery.scheme import NODES, PODS
from kubelab.apiserver.admission.chain import AdmissionPlugin
from kubelab.auth.attributes import Attributes

MIRROR = "kubernetes.io/config.mirror"
RESTRICTED = "node-restriction.kubernetes.io"
_RESTRICTED = frozenset((resource.group, resource.plural) for resource in (NODES, PODS))
_KUBERNETES = ("kubernetes.io", "k8s.io")
_KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
    }
)


class NodeRestriction(AdmissionPlugin):
    """``uid_of_node`` gives a Node's UID, or nothing."""

    name: ClassVar[str] = "NodeRestriction"

    def __init__(self, uid_of_node: Callable[[str], str]) -> None:
        self._uid_of_node = uid_of_node

    def handles(self, a: Attributes) -> bool:
        return bool(a.user.node) and (a.group, a.resource) in _RESTRICTED

    def admit(self, a: Attributes, new: Message | None, old: Message | None) -> None:
        """Forbidden for what this node may not write."""
        node = a.user.node
        if a.resource == NODES.plural:
            why = _node(a, node, cast("core_pb2.Node | None", new), cast("core_pb2.Node | None", old))
        else:
            pods = cast("core_pb2.Pod | None", new), cast("core_pb2.Pod | None", old)
            why = _pod(a, node, *pods, self._uid_of_node)
        if why:
            raise errors.forbidden(a.resource, a.name, why, a.group)


def _node(a: Attributes, node: str, new: core_pb2.Node | None, old: core_pb2.Node | None) -> str:
    if a.name != node:
        return f'node "{node}" is not allowed to modify node "{a.name}"'
    if new is None or a.subresource:  # a status brings nothing else along
        return ""
    if old is None:
        return _new_node(node, new)
    if list(new.spec.taints) != list(old.spec.taints):
        return f'node "{node}" is not allowed to modify taints'
    if list(new.metadata.ownerReferences) != list(old.metadata.ownerReferences):
        return f'node "{node}" is not allowed to modify ownerReferences'
    if (new.spec.podCIDR, list(new.spec.podCIDRs)) != (old.spec.podCIDR, list(old.spec.podCIDRs)):
        return f'node "{node}" is not allowed to modify podCIDRs'
    if refused := forbidden_labels(new.metadata.labels, old.metadata.labels):
        return f"is not allowed to modify labels: {', '.join(refused)}"
    return ""


def _new_node(node: str, new: core_pb2.Node) -> str:
    if new.spec.podCIDR or new.spec.podCIDRs:
        return f'node "{node}" is not allowed to set podCIDRs'
    if refused := forbidden_labels(new.metadata.labels, {}):
        return f'node "{node}" is not allowed to set the following labels: {", ".join(refused)}'
    return ""


def _pod(
    a: Attributes, node: str, new: core_pb2.Pod | None, old: core_pb2.Pod | None, uid_of_node: Callable[[str], str]
) -> str:
    if old is None:
        return _mirror(node, new or core_pb2.Pod(), uid_of_node)
    if old.spec.nodeName == node:
        return ""
    act = "delete pods" if new is None else "update pod status for pods" if a.subresource == "status" else "update pods"
    return f'node "{node}" can only {act} with spec.nodeName set to itself'


def _mirror(node: str, pod: core_pb2.Pod, uid_of_node: Callable[[str], str]) -> str:
    """A node makes mirror pods alone: they show what it runs from its own files, and get nothing from the cluster."""
    if MIRROR not in pod.metadata.annotations:
        return f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
    if pod.spec.nodeName != node:
        return f'node "{node}" can only create pods with spec.nodeName set to itself'
    owners = pod.metadata.ownerReferences
    if len(owners) > 1:
        return f'node "{node}" can only create pods with a single owner reference set to itself'
    if not owners or (owners[0].apiVersion, owners[0].kind, owners[0].name) != ("v1", "Node", node):
        return f'node "{node}" can only create pods with an owner reference set to itself'
    owner = owners[0]
    if not owner.controller:
        return f'node "{node}" can only create pods with a controller owner reference set to itself'
    if owner.blockOwnerDeletion:
        return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    if owner.uid != (uid := uid_of_node(node)):
        return f"node {node} UID mismatch: expected {uid} got {owner.uid}"
    for kind, names in (("secrets", secret_names(pod.spec)), ("configmaps", config_map_names(pod.spec))):
        if any(names):
            return f'node "{node}" can not create pods that reference {kind}'
    return ""


def forbidden_labels(after: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """The labels that a kubelet changes and may not."""
    changed = (key for key in {*before, *after} if before.get(key) != after.get(key))
    return sorted(_refused(changed))


def _refused(labels: Iterable[str]) -> Iterable[str]:
    return (label for label in labels if not allowed(label))


def allowed(label: str) -> bool:
    """Whether a kubelet may set a label: Kubernetes' own ones only where they are the kubelet's."""
    domain = label.rpartition("/")[0]
    if _inside(domain, (RESTRICTED,)):
        return False
    return not _inside(domain, _KUBERNETES) or label in _KUBELET_LABELS or _inside(domain, _KUBELET_DOMAINS)


def _inside(domain: str, domains: tuple[str, ...]) -> bool:
    return any(domain == one or domain.endswith(f".{one}") for one in domains)
