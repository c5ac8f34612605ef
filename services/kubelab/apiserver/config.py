"""What an api-server can be told."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from kubelab.apimachinery.taints import NOT_READY, UNREACHABLE
from kubelab.component.config import TLS, WEEK, BaseConfig, ConfigError, Range


@dataclass(kw_only=True)
class EtcdConfig:
    """Where etcd is. Servers are ``host:port`` or ``https://host:port``; with ``tls`` both sides show certificates."""

    servers: list[str] = field(default_factory=lambda: ["127.0.0.1:2379"])
    tls: TLS | None = None


@dataclass(kw_only=True)
class ApiServerConfig(BaseConfig):
    """Addresses and ranges as upstream's flags of the same names."""

    bind_address: str = "0.0.0.0:6443"
    http_bind_address: str = "0.0.0.0:8443"  # of Kubernetes' REST API; "" serves gRPC alone
    etcd: EtcdConfig = field(default_factory=EtcdConfig)
    advertise_address: str = ""  # host:port at which pods reach its REST API; "": not an endpoint of kubernetes
    service_cidr: str = field(default="10.96.0.0/12", metadata={"yaml": "serviceCIDR"})
    node_port_range: str = "30000-32767"
    kubelet_client: TLS | None = None  # who it is towards kubelets
    scheduler_address: str = "127.0.0.1:10259"  # whose health `kctl get componentstatuses` shows
    controller_manager_address: str = "127.0.0.1:10257"
    service_account_signing_key_file: Path | None = None  # in PEM; without one there are no service accounts' tokens
    service_account_issuer: str = "https://kubernetes.default.svc.cluster.local"
    api_audiences: list[str] = field(default_factory=list[str])  # whom tokens for the API name; none: the issuer
    audit_log: Path | None = None  # JSON lines; "" keeps nothing
    event_ttl: Annotated[float, Range(1, WEEK)] = 3600.0  # seconds
    compaction_interval: Annotated[float, Range(1, WEEK)] = 300.0  # seconds; history is kept for at least as long
    workers: Annotated[int, Range(1, 64)] = 2
    # Upstream's; with priority levels their sum counts. The workers share it
    max_requests_inflight: Annotated[int, Range(0, 10**6)] = 400
    max_mutating_requests_inflight: Annotated[int, Range(0, 10**6)] = 200
    # that a pod stays on a node that is not ready, or cannot be reached, if it does not say
    default_not_ready_toleration_seconds: Annotated[int, Range(0, 10**9)] = 300
    default_unreachable_toleration_seconds: Annotated[int, Range(0, 10**9)] = 300

    @property
    def seats(self) -> int:
        """How many requests one worker executes at about one time."""
        return max(1, (self.max_requests_inflight + self.max_mutating_requests_inflight) // self.workers)

    def tolerations(self) -> dict[str, int]:
        """Seconds by taint, for pods that do not say."""
        return {
            NOT_READY: self.default_not_ready_toleration_seconds,
            UNREACHABLE: self.default_unreachable_toleration_seconds,
        }

    def network(self) -> ipaddress.IPv4Network:
        """The service network; ConfigError when it is none."""
        try:
            return ipaddress.IPv4Network(self.service_cidr)
        except ValueError as err:
            raise ConfigError(f"serviceCIDR: {err}") from err

    def node_ports(self) -> range:
        """The node ports; ConfigError when they are no range."""
        first, _, last = self.node_port_range.partition("-")
        if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) < 65536):
            raise ConfigError(f"nodePortRange: {self.node_port_range!r}, expected FIRST-LAST such as 30000-32767")
        return range(int(first), int(last) + 1)
