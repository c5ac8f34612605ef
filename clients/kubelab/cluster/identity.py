"""By what the kernel tells components apart: a group of its own for each, and the ports that it listens on.

A component runs with its group as real, effective and saved group, so every socket that it opens belongs to it
(``meta skgid`` of nftables). The user and the supplementary groups are what they were. A container runtime has none: it
talks through unix sockets only, and the files that it makes for containers are to belong to root.
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
    "api-server": (6443,),
    "scheduler": (10259,),
    "controller-manager": (10257,),
    "kubelet": (10250,),
    "kube-proxy": (10256,),
}
