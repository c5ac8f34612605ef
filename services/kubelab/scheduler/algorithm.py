"""One decision: which node for this pod, out of what the cache holds now.

It runs from beginning to end without awaiting anything, so that the cache itself is the snapshot. In a big cluster only
a share of the feasible nodes is looked for and scored (upstream's percentageOfNodesToScore); the next pod begins where
this one stopped, so that every node gets its turn. Among equals the choice is a hash of pod and node: the same question
has the same answer, and a thousand pods do not pile up on the first name.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kubelab.scheduler.cache import Cache
from kubelab.scheduler.clusterevents import NODE_ADDED, ClusterEvent
from kubelab.scheduler.framework import (
    SKIP,
    Cluster,
    CycleState,
    Nomination,
    OnlyNodes,
    Rejection,
    Unschedulable,
    histogram,
)
from kubelab.scheduler.model import NodeInfo, PodInfo
from kubelab.scheduler.profile import Framework

MIN_FEASIBLE = 100
MIN_PERCENTAGE = 5
Check = Callable[[CycleState, PodInfo, NodeInfo], Rejection | None]


@dataclass(frozen=True, slots=True)
class ScheduleResult:
    """A node for the pod."""

    node: str
    evaluated: int
    feasible: int


@dataclass(frozen=True, slots=True)
class FitError:
    """No node will do; ``message`` is what people read, ``retry_on`` what could change it."""

    message: str
    retry_on: frozenset[ClusterEvent]
    nomination: Nomination | None = None


class Algorithm:
    """Runs a profile's filters, then its scores. Its only state is where the next pod begins to look."""

    def __init__(self, percentage: int = 0) -> None:
        self._percentage = percentage
        self._start = 0

    def decide(
        self, framework: Framework, pod: PodInfo, cache: Cache, state: CycleState | None = None
    ) -> ScheduleResult | FitError:
        """Find the best node for a pod. Plugins keep in ``state`` what their later points need."""
        nodes = cache.nodes
        if not nodes:
            return FitError("no nodes available to schedule pods", frozenset({NODE_ADDED}))
        state = CycleState() if state is None else state
        with cache.with_nominated(pod) as reserved:
            nominated = cache.nominated_node(pod.uid)
            if nominated is not None and fits(framework, pod, nominated, cache):
                return ScheduleResult(nominated.name, 1, 1)  # the room that was made for it
            filtered = self._filter(framework, state, pod, nodes, cache)
        if isinstance(filtered, Rejection):
            return explain(framework, state, pod, dict.fromkeys((n.name for n in nodes), filtered), cache, filtered)
        feasible, rejected = filtered
        if reserved:  # a pod that waits for its room may never come: without it the pod must fit as well
            feasible = [n for n in feasible if n.name not in reserved or fits(framework, pod, n, cache)]
        if not feasible:
            return explain(framework, state, pod, rejected, cache)
        best = feasible[0] if len(feasible) == 1 else _best(framework, state, pod, feasible, cache)
        return ScheduleResult(best.name, len(feasible) + len(rejected), len(feasible))

    def _filter(
        self, framework: Framework, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], cache: Cache
    ) -> Rejection | tuple[list[NodeInfo], dict[str, Rejection]]:
        """Give the feasible nodes and why others are not; one rejection where PreFilter says no for all."""
        prepared = prepare(framework, state, pod, cache)
        if isinstance(prepared, Rejection):
            return prepared
        if prepared.names is not None:
            return _filter_named(prepared, state, pod, nodes)
        checks = prepared.checks
        start = self._start % len(nodes)
        feasible: list[NodeInfo] = []
        rejected: dict[str, Rejection] = {}
        missing = feasible_wanted(len(nodes), self._percentage)
        for node in (*nodes[start:], *nodes[:start]):
            for check in checks:
                rejection = check(state, pod, node)
                if rejection is not None:
                    rejected[node.name] = rejection
                    break
            else:
                feasible.append(node)
                missing -= 1
                if not missing:
                    break
        self._start = (start + len(feasible) + len(rejected)) % len(nodes)
        return feasible, rejected


def _filter_named(
    prepared: Prepared, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]
) -> tuple[list[NodeInfo], dict[str, Rejection]]:
    """Look at the nodes that PreFilter named; the others are rejected alike."""
    feasible: list[NodeInfo] = []
    rejected: dict[str, Rejection] = {}
    for node in nodes:
        rejection = prepared.check(state, pod, node)
        if rejection is None:
            feasible.append(node)
        else:
            rejected[node.name] = rejection
    return feasible, rejected


class Prepared(NamedTuple):
    """The filters that a pod needs, and the rejection of all nodes but those of ``names`` (None: of no node)."""

    checks: list[Check]
    names: frozenset[str] | None = None
    others: Rejection | None = None

    def check(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        """Give the first filter's no, None when the node will do."""
        if self.names is not None and node.name not in self.names:
            return self.others
        return next((no for check in self.checks if (no := check(state, pod, node)) is not None), None)


def prepare(framework: Framework, state: CycleState, pod: PodInfo, cluster: Cluster) -> Rejection | Prepared:
    """Run PreFilter. A rejection is every node's."""
    checks: list[Check] = []
    limits: dict[str, OnlyNodes] = {}
    for plugin in framework.filters:
        prepared = plugin.pre_filter(state, pod, cluster)
        if isinstance(prepared, Rejection):
            return prepared
        if isinstance(prepared, OnlyNodes):
            limits[plugin.name] = prepared
        if prepared is not SKIP:
            checks.append(plugin.filter)
    if not limits:
        return Prepared(checks)
    words = f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(limits))}]"
    retry_on = frozenset[ClusterEvent]().union(*(limit.retry_on for limit in limits.values()))
    names = frozenset.intersection(*(limit.names for limit in limits.values()))
    return Prepared(checks, names, Rejection(next(iter(limits)), (words,), retry_on))


def _best(
    framework: Framework, state: CycleState, pod: PodInfo, feasible: Sequence[NodeInfo], cache: Cache
) -> NodeInfo:
    totals = [0] * len(feasible)
    for plugin, weight in framework.scores:
        if plugin.pre_score(state, pod, cache) is not SKIP:
            scores = plugin.score(state, pod, feasible, cache)
            totals = [t + weight * s for t, s in zip(totals, scores, strict=True)]
    most = max(totals)
    equals = [node for node, total in zip(feasible, totals, strict=True) if total == most]
    tie_breaker = zlib.crc32(pod.uid.encode())
    return equals[0] if len(equals) == 1 else min(equals, key=lambda node: (tie_breaker ^ node.tie_breaker, node.name))


def feasible_wanted(nodes: int, percentage: int = 0) -> int:
    """Say how many feasible nodes are enough; 0 percent adapts, from half of a hundred nodes down to 5 %.

    https://kubernetes.io/docs/concepts/scheduling-eviction/scheduler-perf-tuning/
    """
    if nodes < MIN_FEASIBLE:
        return nodes
    percentage = percentage or max(50 - nodes // 125, MIN_PERCENTAGE)
    return max(nodes * percentage // 100, MIN_FEASIBLE)


def rejected_by(rejection: Rejection) -> FitError:
    """Say in upstream's words that a Reserve, Permit or PreBind plugin rejected the chosen node."""
    reasons = histogram(Counter(rejection.reasons))
    return FitError(f"0/1 nodes are available: {reasons}.", rejection.retry_on)


def fits(framework: Framework, pod: PodInfo, node: NodeInfo, cache: Cache) -> bool:
    """Say whether every filter takes a node for a pod."""
    state = CycleState()
    prepared = prepare(framework, state, pod, cache)
    return not isinstance(prepared, Rejection) and prepared.check(state, pod, node) is None


def explain(
    framework: Framework,
    state: CycleState,
    pod: PodInfo,
    rejected: Mapping[str, Rejection],
    cache: Cache,
    every: Rejection | None = None,
) -> FitError:
    """Add up every node's no in upstream's words, with what PostFilter plugins say. ``every`` is PreFilter's, of all.

    https://github.com/kubernetes/kubernetes/blob/v1.32.0/pkg/scheduler/framework/types.go (FitError)
    """
    counts = Counter(reason for rejection in rejected.values() for reason in rejection.reasons)
    reasons = ", ".join(every.reasons) if every is not None else histogram(counts)
    messages = [f"0/{len(cache.nodes)} nodes are available: {reasons}."]
    failure = Unschedulable(rejected, cache, lambda node: fits(framework, pod, node, cache))
    nomination: Nomination | None = None
    for plugin in framework.post_filters:
        answer = plugin.post_filter(state, pod, failure)
        if isinstance(answer, Nomination):
            nomination = nomination or answer
            answer = answer.message
        messages.append(answer)
    return FitError(
        " ".join(message for message in messages if message),
        frozenset().union(*(rejection.retry_on for rejection in rejected.values())),
        nomination,
    )
