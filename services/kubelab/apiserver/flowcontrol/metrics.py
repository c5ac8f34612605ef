"""The metrics of flow control, with upstream's names and labels. They are read from the gate's counts when somebody
asks, so that no request pays for them."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kubelab.apiserver.flowcontrol.gate import WAIT_BUCKETS, Counts, Gate

_PREFIX = "apiserver_flowcontrol_"
_LABELS = ["priority_level", "flow_schema"]


class FlowControlMetrics(Collector):
    """Those of one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def collect(self) -> Iterable[Metric]:
        rejected = CounterMetricFamily(
            f"{_PREFIX}rejected_requests",
            "Requests that were refused by flow control.",
            labels=[*_LABELS, "reason"],
        )
        dispatched = CounterMetricFamily(
            f"{_PREFIX}dispatched_requests", "Requests that were executed, or are.", labels=_LABELS
        )
        waiting = GaugeMetricFamily(f"{_PREFIX}current_inqueue_requests", "Requests that wait.", labels=_LABELS)
        executing = GaugeMetricFamily(
            f"{_PREFIX}current_executing_requests",
            "Requests that are executed; of watches, that begin.",
            labels=_LABELS,
        )
        seats = GaugeMetricFamily(f"{_PREFIX}current_executing_seats", "The seats that these take.", labels=_LABELS)
        waits = HistogramMetricFamily(
            f"{_PREFIX}request_wait_duration_seconds", "Time in a queue.", labels=[*_LABELS, "execute"]
        )
        for labels, counts in self._gate.counts.items():
            for reason, count in counts.rejected.items():
                rejected.add_metric([*labels, reason], count)
            dispatched.add_metric(labels, counts.dispatched)
            waiting.add_metric(labels, counts.waiting)
            executing.add_metric(labels, counts.executing)
            seats.add_metric(labels, counts.executing_seats)
            for executed in (True, False):
                _add_waits(waits, labels, counts, executed=executed)
        yield from (rejected, dispatched, waiting, executing, seats, waits)
        nominal = GaugeMetricFamily(
            f"{_PREFIX}nominal_limit_seats", "The seats of a level by its shares.", labels=_LABELS[:1]
        )
        for level in self._gate.levels.values():
            nominal.add_metric([level.name], level.queues.share.nominal)
        yield nominal


def _add_waits(family: HistogramMetricFamily, labels: tuple[str, str], counts: Counts, *, executed: bool) -> None:
    """Add a histogram; requests that did not wait are in its first bucket."""
    waits = counts.waits[executed]
    total = sum(waits)
    at_once = counts.dispatched - total if executed else 0
    if not total + at_once:
        return
    buckets: list[tuple[str, float]] = []
    below = at_once
    for bound, count in zip((*WAIT_BUCKETS, float("inf")), waits, strict=True):
        below += count
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), below))
    family.add_metric([*labels, str(executed).lower()], buckets, counts.waited[executed])
