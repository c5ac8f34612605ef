"""What a kubelet counts; names are upstream's where upstream has one."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


@dataclass(frozen=True)
class KubeletMetrics:
    running_pods: Gauge
    running_containers: Gauge
    runtime_operations: Counter
    runtime_errors: Counter
    runtime_seconds: Histogram
    pod_start_seconds: Histogram
    status_writes: Counter
    routes: Gauge

    @classmethod
    def on(cls, registry: CollectorRegistry) -> KubeletMetrics:
        return cls(
            Gauge("kubelet_running_pods", "Pods that have a running sandbox", registry=registry),
            Gauge("kubelet_running_containers", "Containers that run", registry=registry),
            Counter("kubelet_runtime_operations_total", "CRI calls", ["operation_type"], registry=registry),
            Counter(
                "kubelet_runtime_operations_errors_total",
                "CRI calls that failed",
                ["operation_type"],
                registry=registry,
            ),
            Histogram(
                "kubelet_runtime_operations_duration_seconds",
                "Time of CRI calls",
                ["operation_type"],
                buckets=_SECONDS,
                registry=registry,
            ),
            Histogram(
                "kubelet_pod_start_duration_seconds",
                "From the moment a pod is first seen to the moment all its containers run",
                buckets=_SECONDS,
                registry=registry,
            ),
            Counter("kubelab_kubelet_status_writes_total", "Pod statuses sent", ["code"], registry=registry),
            Gauge("kubelab_kubelet_routes", "Routes to other nodes' pods", registry=registry),
        )
