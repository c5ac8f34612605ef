"""The group id, ports and server name by which the kernel and clients identify each component.

The kernel identifies a component by its group id and the ports that it listens on. A client identifies it by the name
in its server certificate: an address is not enough, because several servers share one.

A component runs with its group as real, effective and saved group, so every socket that it opens belongs to it (``meta
skgid`` of nftables). The user and the supplementary groups do not change. A container runtime has no group of its own:
it uses unix sockets only, and the files that it makes for containers must belong to root.
"""

from __future__ import annotations

GROUPS = {
    "etcd": 6101,
    "api-server": 6102,
    "scheduler": 6103,
    "controller-manager": 6104,
    "kubelet": 6105,
    "kube-proxy": 6106,
}
PORTS: dict[str, tuple[int, ...]] = {
    "etcd": (2379, 2380),
    "api-server": (6443, 8443),  # gRPC, and Kubernetes' REST API over HTTPS
    "scheduler": (10259,),
    "controller-manager": (10257,),
    "kubelet": (10250,),
    "kube-proxy": (10256,),
}


def server_name(process: str) -> str:
    """The name in a component's server certificate: ``kubelet.node-1`` of ``kubelet@node-1``."""
    return process.replace("@", ".")
