"""Pods of one kind lie evenly over zones, nodes and other domains.

The sums by domain come from the cluster's indexes, also where a constraint leaves nodes out by the pod's node affinity
or because they lack one of several topology keys. Only where it honours taints, and there are some, are they made anew.
https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from kubelab.apimachinery import taints
from kubelab.apimachinery.core.nodeaffinity import RequiredNodeAffinity
from kubelab.apimachinery.labels import Selector
from kubelab.scheduler import clusterevents
from kubelab.scheduler.framework import MAX_SCORE, SKIP, Cluster, CycleState, Rejection, Skip
from kubelab.scheduler.model import NodeInfo, PodInfo
from kubelab.scheduler.podindex import Matcher
from kubelab.scheduler.podterms import SpreadConstraint
from kubelab.scheduler.topology import HOSTNAME, ZONE, Nodes, Tally

SYSTEM_DEFAULTS = (
    SpreadConstraint(ZONE, max_skew=5, hard=False, selector=None),
    SpreadConstraint(HOSTNAME, max_skew=3, hard=False, selector=None),
)
"""For pods that have none but belong to a service or a controller."""

ANY_NODE = RequiredNodeAffinity()


class _Limit(NamedTuple):
    """A domain with more pods than ``most`` takes no further one."""

    key: str
    counts: Mapping[str, int]
    most: int


class _Preference(NamedTuple):
    key: str
    counts: Mapping[str, int]
    max_skew: int


class PodTopologySpread:
    """Keep to domains that stay within ``maxSkew`` of the least one; prefer those with fewer pods.

    ``defaults`` hold for pods without constraints; their selector is that of the pod's services and controller.
    Upstream's own (``SYSTEM_DEFAULTS``) count nodes that lack a topology key as well.
    """

    name = "PodTopologySpread"
    weight = 2
    retry_on = frozenset({
        clusterevents.POD_ADDED,
        clusterevents.POD_LABELED,
        clusterevents.POD_GONE,
        clusterevents.NODE_ADDED,
        clusterevents.NODE_GONE,
        clusterevents.NODE_LABELED,
        clusterevents.NODE_TAINTED,
    })  # fmt: skip
    missing = Rejection(
        name, ("node(s) didn't match pod topology spread constraints (missing required label)",), retry_on
    )
    skewed = Rejection(name, ("node(s) didn't match pod topology spread constraints",), retry_on, resolvable=True)

    def __init__(self, defaults: Sequence[SpreadConstraint] = SYSTEM_DEFAULTS, *, system: bool = True) -> None:
        self._hard = [constraint for constraint in defaults if constraint.hard]
        self._soft = [constraint for constraint in defaults if not constraint.hard]
        self._system = system

    def pre_filter(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        constraints = self._constraints(pod, cluster, hard=True)
        if not constraints:
            return SKIP
        counted = _count(pod, constraints, cluster, every_key=True)
        limits: list[_Limit] = []
        for constraint, (counts, domains) in zip(constraints, counted, strict=True):
            least = 0 if len(counts) < domains else min(counts.values(), default=len(cluster.nodes))
            if domains < constraint.min_domains:
                least = 0
            own = constraint.selector is not None and constraint.selector.matches(pod.labels)
            limits.append(_Limit(constraint.topology_key, counts, constraint.max_skew + least - own))
        state[self.name] = limits
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        limits: list[_Limit] = state[self.name]
        for key, counts, most in limits:
            value = node.labels.get(key)
            if value is None:
                return self.missing
            if counts.get(value, 0) > most:
                return self.skewed
        return None

    def pre_score(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        constraints = self._constraints(pod, cluster, hard=False)
        every_key = bool(pod.neighbours.spread) or not self._system
        if not every_key:  # a default over a label that no node has tells nothing
            constraints = [c for c in constraints if cluster.topology.domains(c.topology_key)]
        if not constraints:
            return SKIP
        counted = _count(pod, constraints, cluster, every_key=every_key)
        preferences: list[_Preference] = []
        for constraint, (counts, _) in zip(constraints, counted, strict=True):
            if constraint.topology_key == HOSTNAME:
                counts = _by_node(pod, constraint, cluster)
            preferences.append(_Preference(constraint.topology_key, counts, constraint.max_skew))
        state[self.name + "/score"] = preferences, every_key
        return None

    def score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        preferences: list[_Preference]
        preferences, every_key = state[self.name + "/score"]
        keys = [key for key, _, _ in preferences]
        ignored: set[str] = set()
        if every_key and not all(cluster.topology.covers(key) for key in keys):
            ignored = {node.name for node in nodes if not all(key in node.labels for key in keys)}
        raw = _raw(preferences, nodes, ignored)
        counted = [score for node, score in zip(nodes, raw, strict=True) if node.name not in ignored]
        if not counted:
            return [0] * len(nodes)
        least, most = min(counted), max(counted)
        scores = {score: MAX_SCORE * (most + least - score) // most if most else MAX_SCORE for score in set(counted)}
        return [0 if n.name in ignored else scores[score] for n, score in zip(nodes, raw, strict=True)]

    def _constraints(self, pod: PodInfo, cluster: Cluster, *, hard: bool) -> Sequence[SpreadConstraint]:
        if pod.neighbours.spread:
            return [constraint for constraint in pod.neighbours.spread if constraint.hard is hard]
        defaults = self._hard if hard else self._soft
        selector = cluster.workloads.selector_of(pod) if defaults else None
        return [replace(constraint, selector=selector) for constraint in defaults] if selector else ()


def _raw(preferences: Sequence[_Preference], nodes: Sequence[NodeInfo], ignored: set[str]) -> list[int]:
    """Give each node the weighted number of pods in its domains: the fewer, the better. Domains weigh more the more
    of them there are."""
    totals = [0.0] * len(nodes)
    for key, counts, max_skew in preferences:
        if key == HOSTNAME:
            domains = len(nodes) - len(ignored)
            found = [counts.get(node.name, 0) if key in node.labels else None for node in nodes]
        else:
            values = [node.labels.get(key) for node in nodes]
            domains = len({v for v, node in zip(values, nodes, strict=True) if node.name not in ignored})
            found = [counts.get(value, 0) if value is not None else None for value in values]
        factor = math.log(domains + 2)
        weights = {count: count * factor + (max_skew - 1) for count in {*found} if count is not None}
        totals = [
            total + weights[count] if count is not None else total for total, count in zip(totals, found, strict=True)
        ]
    return [round(total) for total in totals]


def _by_node(pod: PodInfo, constraint: SpreadConstraint, cluster: Cluster) -> Mapping[str, int]:
    matcher = _matcher(pod, constraint.selector)
    return cluster.pods.count(matcher, terminating=False).by_node if matcher else {}


def _matcher(pod: PodInfo, selector: Selector | None) -> Matcher | None:
    """Give what takes the pods that count; None for a selector that is not set, or empty: then none do."""
    return Matcher(frozenset((pod.namespace,)), selector) if selector else None


def _count(
    pod: PodInfo, constraints: Sequence[SpreadConstraint], cluster: Cluster, *, every_key: bool
) -> list[tuple[Mapping[str, int], int]]:
    """Give for each constraint the pods by domain, and how many domains there are. A domain may be left out at 0."""
    topology = cluster.topology
    keys = frozenset(constraint.topology_key for constraint in constraints) if every_key else frozenset[str]()
    if len(keys) == 1 or all(topology.covers(key) for key in keys):
        keys = frozenset()
    counted: list[tuple[Mapping[str, int], int]] = []
    for constraint in constraints:
        matcher = _matcher(pod, constraint.selector)
        tally = cluster.pods.count(matcher, terminating=False) if matcher else None
        key = constraint.topology_key
        affinity = pod.node_affinity if constraint.honor_affinity else ANY_NODE
        part = topology.part(affinity, keys) if affinity or keys else topology
        if constraint.honor_taints and cluster.tainted:
            part = Nodes({name: node for name, node in part.nodes.items() if _is_tolerated(pod, node)})
            counted.append((_sums(tally, key, part), len(part.domains(key))))
        else:
            counted.append((tally.domains(key, part) if tally else {}, len(part.domains(key))))
    return counted


def _is_tolerated(pod: PodInfo, node: NodeInfo) -> bool:
    return all(taints.tolerated(pod.tolerations, taint) for taint in node.hard_taints)


def _sums(tally: Tally | None, key: str, part: Nodes) -> Mapping[str, int]:
    """Sum up over nodes that are chosen for this pod alone."""
    sums: dict[str, int] = {}
    for node, pods in tally.by_node.items() if tally else ():
        info = part.nodes.get(node)
        if info is not None and key in info.labels:
            sums[info.labels[key]] = sums.get(info.labels[key], 0) + pods
    return sums
