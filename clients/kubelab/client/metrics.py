"""Prometheus metrics of work queues, informers and unexpected exceptions, with upstream's names.

Counters that the objects keep anyway are read at each scrape; only durations are observed as they happen.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kubelab.client import runtimeerrors

SECONDS = (0.0001, 0.001, 0.01, 0.1, 1, 10, 100, 1000)


class _Queue(Protocol):
    name: str

    def statistics(self) -> Any: ...

    def unfinished_seconds(self) -> float: ...


class _Informer(Protocol):
    name: str

    @property
    def synced(self) -> bool: ...

    @property
    def relists(self) -> int: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class OneQueue:
    """The metrics of one queue, label already chosen."""

    adds: Counter
    retries: Counter
    queue_duration: Histogram
    work_duration: Histogram


class QueueMetrics(Collector):
    """The metric families that all queues of a process share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ["name"]
        self._adds = Counter("workqueue_adds", "Total number of adds", names, registry=registry)
        self._retries = Counter("workqueue_retries", "Total number of retries", names, registry=registry)
        self._queued = Histogram(
            "workqueue_queue_duration_seconds",
            "How long a key stays in the queue before it is requested",
            names,
            registry=registry,
            buckets=SECONDS,
        )
        self._worked = Histogram(
            "workqueue_work_duration_seconds",
            "How long processing a key takes",
            names,
            registry=registry,
            buckets=SECONDS,
        )
        self._queues: weakref.WeakSet[Any] = weakref.WeakSet()
        registry.register(self)

    def of_queue(self, queue: _Queue) -> OneQueue:
        """Show one more queue."""
        self._queues.add(queue)
        chosen = (queue.name,)
        return OneQueue(
            self._adds.labels(*chosen),
            self._retries.labels(*chosen),
            self._queued.labels(*chosen),
            self._worked.labels(*chosen),
        )

    def collect(self) -> Iterable[Metric]:
        depth = GaugeMetricFamily("workqueue_depth", "Current depth of the queue", labels=["name"])
        waiting = GaugeMetricFamily("workqueue_waiting", "Keys that wait for a delay", labels=["name"])
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds", "How long the longest running worker runs", labels=["name"]
        )
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds", "Seconds of work in progress, not yet observed", labels=["name"]
        )
        for queue in list(self._queues):
            now = queue.statistics()
            depth.add_metric([queue.name], now.depth)
            waiting.add_metric([queue.name], now.waiting)
            longest.add_metric([queue.name], now.longest_running)
            unfinished.add_metric([queue.name], queue.unfinished_seconds())
        return [depth, waiting, longest, unfinished]


class InformerMetrics(Collector):
    """The objects in each cache, and its number of lists."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._informers: weakref.WeakSet[Any] = weakref.WeakSet()
        registry.register(self)

    def watch(self, informer: _Informer) -> None:
        """Show one more informer."""
        self._informers.add(informer)

    def collect(self) -> Iterable[Metric]:
        size = GaugeMetricFamily("informer_objects", "Objects in the cache", labels=["name"])
        synced = GaugeMetricFamily("informer_synced", "1 when the first list is in", labels=["name"])
        lists = CounterMetricFamily("reflector_lists", "Total number of lists done", labels=["name"])
        for informer in list(self._informers):
            size.add_metric([informer.name], len(informer))
            synced.add_metric([informer.name], informer.synced)
            lists.add_metric([informer.name], informer.relists)
        return [size, synced, lists]


class BugCounts(Collector):
    """The unexpected exceptions of each loop."""

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily("kubelab_bugs", "Unexpected exceptions", labels=["where"])
        for where, count in runtimeerrors.counts().items():
            family.add_metric([where], count)
        return [family]


_queues: weakref.WeakKeyDictionary[CollectorRegistry, QueueMetrics] = weakref.WeakKeyDictionary()
_informers: weakref.WeakKeyDictionary[CollectorRegistry, InformerMetrics] = weakref.WeakKeyDictionary()


def queue_metrics(registry: CollectorRegistry) -> QueueMetrics:
    """Give the queues' families of a registry; they are made at the first use."""
    existing = _queues.get(registry)
    if existing is None:
        existing = _queues[registry] = QueueMetrics(registry)
    return existing


def informer_metrics(registry: CollectorRegistry) -> InformerMetrics:
    """Give the informers' families of a registry; they are made at the first use."""
    existing = _informers.get(registry)
    if existing is None:
        existing = _informers[registry] = InformerMetrics(registry)
    return existing
