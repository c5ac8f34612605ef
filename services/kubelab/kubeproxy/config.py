"""The configuration of kube-proxy."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from kubelab.component.config import BaseConfig, ConfigError, Duration


@dataclass(kw_only=True)
class ProxyConfig(BaseConfig):
    """``nodeName`` decides which endpoints are local where a traffic policy asks for it."""

    bind_address: str = "0.0.0.0:10256"
    metrics_address: str = "127.0.0.1:10249"
    node_name: str = ""
    cluster_cidr: str = "10.244.0.0/16"
    """The range of all pods' addresses: clients from there are inside the cluster."""
    masquerade_outside_pods: bool = False
    """Whether what a pod sends through a service to an address that is no pod's comes from its node's address: that
    machine needs no route to the pods then. An api-server in a container of its own has none."""
    min_sync_period: Duration = 0.01
    """Seconds that changes are gathered before they are written together."""

    def pods(self) -> IPv4Network:
        """Read ``clusterCidr``. ConfigError when it is no IPv4 network."""
        try:
            return IPv4Network(self.cluster_cidr)
        except ValueError as err:
            raise ConfigError(f"clusterCidr: {err}") from err
