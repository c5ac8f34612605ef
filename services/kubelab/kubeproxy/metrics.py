"""kube-proxy's metrics, with upstream's names."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass(frozen=True)
class ProxyMetrics:
    sync_seconds: Histogram
    failures: Counter
    services: Gauge

    @classmethod
    def on(cls, registry: CollectorRegistry) -> ProxyMetrics:
        return cls(
            Histogram(
                "kubeproxy_sync_proxy_rules_duration_seconds", "Time of one pass over the rules", registry=registry
            ),
            Counter(
                "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                "Transactions that nft refused",
                registry=registry,
            ),
            Gauge("kubelab_proxy_services", "Services that this node forwards", registry=registry),
        )
