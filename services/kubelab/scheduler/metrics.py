"""What the scheduler counts, with upstream's metric names where there is one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kubelab.scheduler.cache import Cache
from kubelab.scheduler.queue import QueueLocation, SchedulingQueue

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class SchedulerMetrics:
    """One per scheduler."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter("scheduler_schedule_attempts", "Attempts by result", ["result"], registry=registry)
        self.decision_seconds = Histogram(
            "scheduler_scheduling_algorithm_duration_seconds", "Filter and score", buckets=_BUCKETS, registry=registry
        )
        self.binding_seconds = Histogram(
            "scheduler_binding_duration_seconds", "The Binding's round trip", buckets=_BUCKETS, registry=registry
        )
        self.queued_seconds = Histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "From the queue's first sight of a pod to its binding",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._pending = Gauge("scheduler_pending_pods", "Pods in the queue", ["queue"], registry=registry)
        self._cached = Gauge("scheduler_cache_size", "What the cache holds", ["type"], registry=registry)

    def observe(self, queue: SchedulingQueue, cache: Cache) -> None:
        """Read the queue's and the cache's sizes whenever the metrics are asked for."""
        for location in QueueLocation:
            self._pending.labels(location.value).set_function(
                lambda location=location: queue.statistics()[location.value]
            )
        for kind in cache.statistics():
            self._cached.labels(kind).set_function(lambda kind=kind: cache.statistics()[kind])
