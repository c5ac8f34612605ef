"""The cells of a row of nodes, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apiserver.printers.cells import NONE, UNKNOWN, age, joined

ROLE_PREFIX, ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def row(node: core_pb2.Node, now: float) -> list[str]:
    ready = next((c for c in reversed(node.status.conditions) if c.type == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready.status == "True" else "NotReady"]
    if node.spec.unschedulable:
        words.append("SchedulingDisabled")
    addresses = {a.type: a.address for a in reversed(node.status.addresses)}
    info = node.status.nodeInfo
    return [
        node.metadata.name,
        ",".join(words),
        joined(node_roles(node)),
        age(node.metadata.creationTimestamp, now),
        info.kubeletVersion,
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.osImage or UNKNOWN,
        info.kernelVersion or UNKNOWN,
        info.containerRuntimeVersion or UNKNOWN,
    ]


def node_roles(node: core_pb2.Node) -> list[str]:
    """What labels say that a node is for, sorted."""
    roles: set[str] = set()
    for key, value in node.metadata.labels.items():
        if key.startswith(ROLE_PREFIX) and len(key) > len(ROLE_PREFIX):
            roles.add(key.removeprefix(ROLE_PREFIX))
        elif key == ROLE_LABEL and value:
            roles.add(value)
    return sorted(roles)
