"""One decision: which node for this pod, out of what the cache holds now.

It runs from beginning to end without awaiting anything, so that the cache itself is the snapshot. In a big cluster only
a share of the feasible nodes is looked for and scored (upstream's percentageOfNodesToScore); the next pod begins where
this one stopped, so that every node gets its turn. Among equals the choice is a hash of pod and node: the same question
has the same answer, and a thousand pods do not pile up on the first name.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kubelab.scheduler.cache import Cache
from kubelab.scheduler.framework import ClusterEvent, FilterPlugin, Rejection, ScorePlugin
from kubelab.scheduler.model import NodeInfo, PodInfo
from kubelab.scheduler.plugins.nodes import NodeAffinity, NodeName, NodeUnschedulable, TaintToleration
from kubelab.scheduler.plugins.resources import NodePorts, NodeResourcesBalancedAllocation, NodeResourcesFit
from kubelab.scheduler.plugins.spread import PodTopologySpread

MIN_FEASIBLE = 100
MIN_PERCENTAGE = 5

DEFAULT_FILTERS: tuple[FilterPlugin, ...] = (  # in upstream's order: the first no is the one that is told
    NodeUnschedulable(),
    NodeName(),
    TaintToleration(),
    NodeAffinity(),
    NodePorts(),
    NodeResourcesFit(),
)
DEFAULT_SCORES: tuple[ScorePlugin, ...] = (
    TaintToleration(),
    NodeResourcesFit(),
    PodTopologySpread(),
    NodeResourcesBalancedAllocation(),
)


@dataclass(frozen=True, slots=True)
class Placement:
    """A node for the pod."""

    node: str
    evaluated: int
    feasible: int


@dataclass(frozen=True, slots=True)
class NoFit:
    """No node will do; ``message`` is what people read, ``retry_on`` what could change it."""

    message: str
    retry_on: frozenset[ClusterEvent]


class Algorithm:
    """Filters, then scores. Its only state is where the next pod begins to look."""

    def __init__(
        self,
        filters: Sequence[FilterPlugin] = DEFAULT_FILTERS,
        scores: Sequence[ScorePlugin] = DEFAULT_SCORES,
        percentage: int = 0,
    ) -> None:
        self._filters, self._scores, self._percentage = tuple(filters), tuple(scores), percentage
        self._start = 0

    def decide(self, pod: PodInfo, cache: Cache) -> Placement | NoFit:
        """Find the best node for a pod."""
        nodes = cache.nodes
        if not nodes:
            return NoFit("no nodes available to schedule pods", frozenset({ClusterEvent.NODE_ADDED}))
        feasible, rejected = self._filter(pod, nodes, cache)
        if not feasible:
            return explain(rejected, len(nodes))
        best = feasible[0] if len(feasible) == 1 else self._best(pod, feasible, cache)
        return Placement(best.name, len(feasible) + len(rejected), len(feasible))

    def _filter(self, pod: PodInfo, nodes: Sequence[NodeInfo], cache: Cache) -> tuple[list[NodeInfo], list[Rejection]]:
        checks = [plugin.filter for plugin in self._filters if not plugin.skip_filter(pod, cache)]
        wanted = feasible_wanted(len(nodes), self._percentage)
        start = self._start % len(nodes)
        feasible: list[NodeInfo] = []
        rejected: list[Rejection] = []
        for part in (nodes[start:], nodes[:start]):
            for node in part:
                for check in checks:
                    rejection = check(pod, node)
                    if rejection is not None:
                        rejected.append(rejection)
                        break
                else:
                    feasible.append(node)
                    if len(feasible) == wanted:
                        break
            if len(feasible) == wanted:
                break
        self._start = (start + len(feasible) + len(rejected)) % len(nodes)
        return feasible, rejected

    def _best(self, pod: PodInfo, feasible: Sequence[NodeInfo], cache: Cache) -> NodeInfo:
        totals = [0] * len(feasible)
        for plugin in self._scores:
            if not plugin.skip_score(pod, cache):
                weight = plugin.weight
                scores = plugin.score(pod, feasible, cache)
                totals = [t + weight * s for t, s in zip(totals, scores, strict=True)]
        most = max(totals)
        equals = [node for node, total in zip(feasible, totals, strict=True) if total == most]
        lot = zlib.crc32(pod.uid.encode())
        return equals[0] if len(equals) == 1 else min(equals, key=lambda node: (lot ^ node.lot, node.name))


def feasible_wanted(nodes: int, percentage: int = 0) -> int:
    """Say how many feasible nodes are enough; 0 percent adapts, from half of a hundred nodes down to 5 %.

    https://kubernetes.io/docs/concepts/scheduling-eviction/scheduler-perf-tuning/
    """
    if nodes < MIN_FEASIBLE:
        return nodes
    percentage = percentage or max(50 - nodes // 125, MIN_PERCENTAGE)
    return max(nodes * percentage // 100, MIN_FEASIBLE)


def explain(rejected: Sequence[Rejection], nodes: int) -> NoFit:
    """Add up every node's no in upstream's words, with what preemption could have done about it.

    https://github.com/kubernetes/kubernetes/blob/v1.32.0/pkg/scheduler/framework/types.go (FitError)
    """
    told = _histogram(Counter(reason for rejection in rejected for reason in rejection.reasons))
    helpless = sum(not rejection.resolvable for rejection in rejected)
    preemption = _histogram(
        {
            "No preemption victims found for incoming pod": len(rejected) - helpless,
            "Preemption is not helpful for scheduling": helpless,
        }
    )
    available = f"0/{nodes} nodes are available:"
    return NoFit(
        f"{available} {told}. preemption: {available} {preemption}.",
        frozenset().union(*(rejection.retry_on for rejection in rejected)),
    )


def _histogram(counts: dict[str, int]) -> str:
    return ", ".join(sorted(_lines(counts.items())))


def _lines(counts: Iterable[tuple[str, int]]) -> Iterable[str]:
    return (f"{count} {reason}" for reason, count in counts if count)
