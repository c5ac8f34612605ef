"""The cache: assumed pods are confirmed, forgotten or expire, and every sum stays the sum of its pods."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.api.core.v1 import core_pb2
from kubelab.scheduler import clusterevents
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.podindex import Matcher
from kubelab.scheduler.topology import ZONE
from kubelab.scheduler.workloads import equal_to
from tests.support import objects as make

WEB = Matcher(frozenset(("default",)), equal_to({"app": "web"}))


def info(name: str, node: str = "", number: int = 0) -> PodInfo:
    pod = make.pod(name, node=node, requests={"cpu": "1"}, labels={"app": "web"}, host_ports=[80])
    terms = pod.spec.affinity.podAntiAffinity
    for term in (
        terms.requiredDuringSchedulingIgnoredDuringExecution.add(),
        terms.preferredDuringSchedulingIgnoredDuringExecution.add(weight=1 + number).podAffinityTerm,
        pod.spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution.add(),
    ):
        term.topologyKey = ZONE
        term.labelSelector.matchLabels["app"] = "web"
    return PodInfo.of(pod)


def test_the_watch_wins_over_an_assumption() -> None:
    cache = Cache()
    for name in "ab":
        cache.set_node(make.node(name))
    cache.assume(info("p"), "a")
    assert cache.is_assumed("uid-of-p")
    cache.set_pod(info("p", "b"))
    assert {n.name: n.used_cpu for n in cache.nodes} == {"a": 0, "b": 1000}
    cache.forget("uid-of-p")  # confirmed: nothing to take back
    assert cache.statistics() == {"nodes": 2, "pods": 1, "assumed": 0}
    cache.check_invariants()


def test_a_bound_pod_that_is_never_seen_expires_and_an_unbound_one_does_not() -> None:
    cache = Cache()
    cache.set_node(make.node("a"))
    for name in ("bound", "binding"):
        cache.assume(info(name), "a")
    cache.binding_finished("uid-of-bound", 30)
    assert cache.expire(29) == []
    assert [pod.name for pod in cache.expire(31)] == ["bound"]
    assert cache.statistics()["pods"] == 1


def test_what_changed_about_a_node() -> None:
    cache = Cache()
    assert cache.set_node(make.node("a")) == {clusterevents.NODE_ADDED}
    assert cache.set_node(make.node("a", ready="False")) == set()
    assert cache.set_node(make.node("a", labels={"x": "y"})) == {clusterevents.NODE_LABELED}
    assert cache.set_node(make.node("a", labels={"x": "y"}, cpu="8")) == {clusterevents.NODE_RESIZED}
    changed = make.node("a", labels={"x": "y"}, cpu="8", unschedulable=True)
    assert cache.set_node(changed) == {clusterevents.NODE_TAINTED}
    cache.remove_node("a")
    assert cache.cordoned == 0
    cache.check_invariants()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["node", "no node", "assume", "finish", "forget", "see", "gone", "expire", "count"]),
        st.integers(0, 3),
        st.sampled_from("ab"),
    ),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_sums_and_indexes_hold_whatever_happens(steps: list[tuple[str, int, str]]) -> None:
    cache = Cache()
    for now, (what, number, node) in enumerate(steps):
        pod = info(f"p{number}", number=number)
        known = pod.uid in {uid for n in cache.nodes for uid in n.pods} or cache.is_assumed(pod.uid)
        match what:
            case "node":
                taints: list[core_pb2.Taint] = [make.taint("k")] if number % 2 else []
                cache.set_node(make.node(node, taints=taints, labels={ZONE: f"z{number // 2}"}))
            case "no node":
                cache.remove_node(node)
            case "assume" if not known and not cache.remove_pod(pod.uid):
                cache.assume(pod, node)
            case "finish":
                cache.binding_finished(pod.uid, now + 5)
            case "forget":
                cache.forget(pod.uid)
            case "see":
                cache.set_pod(info(f"p{number}", node, number))
            case "gone":
                cache.remove_pod(pod.uid)
            case "expire":
                cache.expire(now)
            case _:
                cache.pods.count(WEB, terminating=bool(number % 2)).domains(ZONE)
                for index in (cache.pods.required, cache.pods.anti_affinity, cache.pods.preferred):
                    for key, tally in index.about(pod, {}):
                        tally.domains(key)
        cache.check_invariants()
