"""Pods with affinity and spread constraints for tests, and what a profile's filters and scores say to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.scheduler.algorithm import prepare
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.framework import SKIP, CycleState, Rejection, ScorePlugin
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.profile import Framework
from kubelab.scheduler.topology import ZONE
from tests.support import objects as make
from tests.unit.scheduler.handles import handle


def cluster(*zones: str, placed: Mapping[str, Sequence[core_pb2.Pod]] | None = None) -> Cache:
    """Make nodes ``n0``, ``n1`` and so on in these zones (``-``: in none), with pods by node."""
    cache = Cache()
    for n, zone in enumerate(zones):
        cache.set_node(make.node(f"n{n}", labels={} if zone == "-" else {ZONE: zone}))
    cache.namespaces.set("default", {"team": "a"})
    for node, pods in (placed or {}).items():
        for pod in pods:
            cache.assume(PodInfo.of(pod), node)
    return cache


def near(pod: core_pb2.Pod, key: str = ZONE, **labels: str) -> core_pb2.PodAffinityTerm:
    """Add a required term for pods with these labels."""
    return _required(pod.spec.affinity.podAffinity, key, labels)


def away(pod: core_pb2.Pod, key: str = ZONE, **labels: str) -> core_pb2.PodAffinityTerm:
    """Add a required anti-affinity term."""
    return _required(pod.spec.affinity.podAntiAffinity, key, labels)


def _required(
    terms: core_pb2.PodAffinity | core_pb2.PodAntiAffinity, key: str, labels: Mapping[str, str]
) -> core_pb2.PodAffinityTerm:
    term = terms.requiredDuringSchedulingIgnoredDuringExecution.add(topologyKey=key)
    term.labelSelector.matchLabels.update(labels)
    return term


def prefer(pod: core_pb2.Pod, weight: int, key: str = ZONE, **labels: str) -> core_pb2.PodAffinityTerm:
    """Add a preferred term, of anti-affinity where the weight is negative."""
    affinity = pod.spec.affinity.podAffinity if weight > 0 else pod.spec.affinity.podAntiAffinity
    weighted = affinity.preferredDuringSchedulingIgnoredDuringExecution.add(weight=abs(weight))
    weighted.podAffinityTerm.topologyKey = key
    weighted.podAffinityTerm.labelSelector.matchLabels.update(labels)
    return weighted.podAffinityTerm


def spread(
    pod: core_pb2.Pod, key: str = ZONE, skew: int = 1, action: str = "DoNotSchedule", **labels: str
) -> core_pb2.TopologySpreadConstraint:
    """Add a constraint."""
    constraint = pod.spec.topologySpreadConstraints.add(maxSkew=skew, topologyKey=key, whenUnsatisfiable=action)
    constraint.labelSelector.matchLabels.update(labels)
    return constraint


def answers(cache: Cache, pod: core_pb2.Pod) -> list[str]:
    """Give what the default filters say of each node: ``""`` where it will do, else the first reason."""
    info, state = PodInfo.of(pod), CycleState()
    prepared = prepare(Framework(handle()), state, info, cache)
    if isinstance(prepared, Rejection):
        return [prepared.reasons[0]] * len(cache.nodes)
    found = [prepared.check(state, info, node) for node in cache.nodes]
    return [rejection.reasons[0] if rejection else "" for rejection in found]


def scores(plugin: ScorePlugin, cache: Cache, pod: core_pb2.Pod) -> list[int] | None:
    """Give a plugin's scores of all nodes; None where it skips the pod."""
    info, state = PodInfo.of(pod), CycleState()
    if plugin.pre_score(state, info, cache) is SKIP:
        return None
    return plugin.score(state, info, cache.nodes, cache)
