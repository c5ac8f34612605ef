"""The configuration of kube-proxy."""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.component.config import BaseConfig


@dataclass(kw_only=True)
class ProxyConfig(BaseConfig):
    """``nodeName`` decides which endpoints are local where a traffic policy asks for it."""

    bind_address: str = "0.0.0.0:10256"
    metrics_address: str = "127.0.0.1:10249"
    node_name: str = ""
    min_sync_period: float = 0.01
    """Seconds that changes are gathered before they are written together."""
