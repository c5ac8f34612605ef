"""The configuration of a kubelet."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from kubelab.component.config import BaseConfig, Parallelism, Period, Range


@dataclass(kw_only=True)
class KubeletConfig(BaseConfig):
    """Defaults are upstream's (kubelet.config.k8s.io/v1beta1); times are seconds."""

    bind_address: str = "0.0.0.0:10250"
    metrics_address: str = "127.0.0.1:10255"
    node_name: str = ""
    node_ip: str = ""
    """The address that the node is reached at; empty: the one that routes towards the api-server."""
    node_labels: dict[str, str] = field(default_factory=dict)
    """Labels that the node registers with. Of Kubernetes' own ones it may set the kubelet's only (NodeRestriction)."""
    runtime_socket: Path = Path("/run/kubelab/runtime.sock")
    state_dir: Path = Path("/var/lib/kubelab/kubelet")
    machine_pid: Annotated[int, Range(0, 2**22)] = 0
    """A process of the machine that pods run on, where the kubelet itself runs in a container beside it (and shares its
    process namespace): what ``hostPath`` means, and where volumes in memory are mounted. 0: the kubelet's own."""
    log_dir: Path = Path("/var/log/pods")
    """Where containers' logs go: ``<namespace>_<name>_<uid>/<container>/<attempt>.log``."""
    cluster_dns: list[str] = field(default_factory=list)
    cluster_domain: str = "cluster.local"
    max_pods: Annotated[int, Range(0, 100_000)] = 110
    pod_pids_limit: Annotated[int, Range(-1, 2**22)] = 4096
    """Processes and threads of a pod together; -1 is without a limit, which is upstream's default. Upstream's node is a
    machine of its own, where a fork bomb harms that node. Here it is a person's own machine, and every node of the
    cluster. 4,096 are more than a usual pod ever has, and few beside the machine's pid_max."""
    seccomp_default: bool = True
    """RuntimeDefault for containers that do not say: upstream's seccompDefault, which is false there. No one misses a
    system call here who upgrades, and what is closed is what containers are left by."""
    allowed_unsafe_sysctls: list[str] = field(default_factory=list)
    """Names, or beginnings with a ``*`` at their end."""
    routes: bool = True
    """Keep a route to every other node's pod CIDR."""
    cluster_cidr: str = "10.244.0.0/16"
    """Of all pods. Only its parts are routed, and only those of ``nodeCidrMaskSize`` bits, as the controller-manager
    gives them out, which has settings of the same names."""
    node_cidr_mask_size: Annotated[int, Range(1, 32)] = 24
    node_network: str = ""
    """Where nodes reach each other directly; empty: the network of the interface that has this node's address."""
    node_lease_duration_seconds: Annotated[int, Range(1, 3600)] = 40
    node_lease_renew_interval: Period = 10.0
    node_status_update_frequency: Period = 10.0
    """How often the node's status is looked at; it is written when it changed, or after the report frequency."""
    node_status_report_frequency: Period = 300.0
    runtime_grace_period: Period = 5.0  # without an answer of the runtime, before the node is not ready any more
    runtime_request_timeout: Period = 120.0
    image_pull_timeout: Period = 1800.0
    image_pull_backoff: Period = 10.0
    crash_loop_backoff: Period = 10.0
    max_container_restart_period: Period = 300.0
    relist_period: Period = 1.0
    """Between two looks at all containers, where the runtime has no event stream."""
    safety_relist_period: Period = 60.0
    """The same where it has one."""
    container_log_max_size: str = "10Mi"
    """A longer log is moved aside, and a new file begun."""
    container_log_max_files: Annotated[int, Range(2, 1000)] = 5
    container_log_monitor_interval: Period = 10.0
    workers: Parallelism = 16
    """Pods that are worked on at the same moment; waiting (for an image, for an end) takes no worker."""

    def __post_init__(self) -> None:
        network = _network("clusterCidr", self.cluster_cidr)
        if not network.prefixlen <= self.node_cidr_mask_size <= network.max_prefixlen:
            raise ValueError(f"nodeCidrMaskSize: {self.cluster_cidr} has no subnets of /{self.node_cidr_mask_size}")
        if self.node_network:
            _network("nodeNetwork", self.node_network)


def _network(key: str, text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as err:
        raise ValueError(f"{key}: {err}") from err
