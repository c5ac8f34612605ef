"""What a node may not change of its own Node: by what steers pods to it, it could draw those that are not meant for it.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction. Labels that it registers
with are its administrator's to choose, by the kubelet's configuration; a node cannot delete itself to register anew.
"""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2

RESTRICTED = "node-restriction.kubernetes.io"
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


def complaint(new: core_pb2.Node, old: core_pb2.Node) -> str:
    """Why a node may not make this of itself, in upstream's words; empty when it may."""
    node = old.metadata.name
    if list(new.spec.taints) != list(old.spec.taints):
        return f'node "{node}" is not allowed to modify taints'
    if list(new.metadata.ownerReferences) != list(old.metadata.ownerReferences):
        return f'node "{node}" is not allowed to modify ownerReferences'
    before, after = dict(old.metadata.labels), dict(new.metadata.labels)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if refused := sorted(key for key in changed if not allowed(key)):
        return f"is not allowed to modify labels: {', '.join(refused)}"
    return ""


def allowed(label: str) -> bool:
    """Whether a kubelet may set a label: Kubernetes' own ones only where they are the kubelet's."""
    domain = label.rpartition("/")[0]
    if _inside(domain, (RESTRICTED,)):
        return False
    return not _inside(domain, _KUBERNETES) or label in _KUBELET_LABELS or _inside(domain, _KUBELET_DOMAINS)


def _inside(domain: str, domains: tuple[str, ...]) -> bool:
    return any(domain == one or domain.endswith(f".{one}") for one in domains)
