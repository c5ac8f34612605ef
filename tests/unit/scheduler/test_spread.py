"""Topology spread constraints: filters and scores over the indexes, against the rule said plainly."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.api.core.v1 import core_pb2
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.plugins.spread import PodTopologySpread
from kubelab.scheduler.podterms import SpreadConstraint
from kubelab.scheduler.topology import HOSTNAME, ZONE
from tests.support import objects as make
from tests.unit.scheduler.placing import answers, cluster, scores, spread

SKEWED = "node(s) didn't match pod topology spread constraints"
MISSING = f"{SKEWED} (missing required label)"
WEB = {"app": "web"}


def webs(*names: str) -> list[core_pb2.Pod]:
    return [make.pod(name, labels=WEB) for name in names]


def test_a_zone_that_is_ahead_takes_no_more() -> None:
    cache = cluster("a", "a", "b", "-", placed={"n0": webs("x")})
    pod = make.pod(labels=WEB)
    constraint = spread(pod, app="web")
    assert answers(cache, pod) == [SKEWED, SKEWED, "", MISSING]
    constraint.maxSkew = 2
    assert answers(cache, pod) == ["", "", "", MISSING]


def test_two_constraints_hold_both() -> None:
    cache = cluster("a", "a", "b", placed={"n0": webs("x"), "n2": webs("y")})
    pod = make.pod(labels=WEB)
    spread(pod, app="web")
    spread(pod, HOSTNAME, app="web")
    assert answers(cache, pod) == [SKEWED, "", SKEWED]


def test_fewer_domains_than_wanted_count_as_an_empty_one() -> None:
    cache = cluster("a", "b", placed={"n0": webs("x"), "n1": webs("y")})
    pod = make.pod(labels=WEB)
    constraint = spread(pod, app="web")
    assert answers(cache, pod) == ["", ""]
    constraint.minDomains = 3
    assert answers(cache, pod) == [SKEWED, SKEWED]


def test_which_nodes_count() -> None:
    cache = cluster("a", "b", placed={"n0": webs("x")})
    cache.set_node(make.node("n2", labels={ZONE: "c"}, taints=[make.taint("k")]))
    pod = make.pod(labels=WEB, node_selector={ZONE: "a"})
    constraint = spread(pod, app="web")
    affinity = "node(s) didn't match Pod's node affinity/selector"
    tainted = "node(s) had untolerated taint {k: }"
    assert answers(cache, pod) == ["", affinity, tainted]  # only zone a can be had: it is even by itself
    constraint.nodeAffinityPolicy = "Ignore"
    assert answers(cache, pod) == [SKEWED, affinity, tainted]
    plain = make.pod(labels=WEB)
    constraint = spread(plain, app="web")
    cache.assume(PodInfo.of(make.pod("y", labels=WEB)), "n1")
    assert answers(cache, plain) == [SKEWED, SKEWED, tainted]  # the tainted zone is empty, and counts
    constraint.nodeTaintsPolicy = "Honor"
    assert answers(cache, plain) == ["", "", tainted]


def test_only_pods_of_the_same_revision_count_by_match_label_keys() -> None:
    old = [make.pod("old", labels={**WEB, "rev": "1"})]
    cache = cluster("a", "b", placed={"n0": old})
    pod = make.pod(labels={**WEB, "rev": "2"})
    constraint = spread(pod, app="web")
    assert answers(cache, pod) == [SKEWED, ""]
    constraint.matchLabelKeys.append("rev")
    assert answers(cache, pod) == ["", ""]


def test_pods_on_their_way_out_and_of_other_namespaces_do_not_count() -> None:
    there = [make.pod("x", labels=WEB, deleting=True), make.pod("y", labels=WEB, namespace="other")]
    pod = make.pod(labels=WEB)
    spread(pod, app="web")
    assert answers(cluster("a", "b", placed={"n0": there}), pod) == ["", ""]


def test_schedule_anyway_prefers() -> None:
    pod = make.pod(labels=WEB)
    spread(pod, action="ScheduleAnyway", app="web")
    cache = cluster("a", "a", "b", "-", placed={"n0": webs("x", "y")})
    assert scores(PodTopologySpread(), cache, pod) == [0, 0, 100, 0]
    assert answers(cache, pod) == [""] * 4


def test_the_defaults_are_for_pods_of_a_service_or_controller() -> None:
    cache = cluster("a", "a", "b", placed={"n0": webs("x")})
    assert scores(PodTopologySpread(), cache, make.pod(labels=WEB)) is None
    cache.workloads.set_service("default", "web", WEB)
    first, second, third = scores(PodTopologySpread(), cache, make.pod(labels=WEB)) or []
    assert first < second < third == 100
    own = PodTopologySpread([SpreadConstraint(ZONE, 1, hard=True, selector=None)], system=False)
    assert scores(own, cache, make.pod(labels=WEB)) is None


KEYS = st.sampled_from([ZONE, HOSTNAME])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from("abc-"), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=8),
    st.lists(st.tuples(KEYS, st.integers(1, 2), st.integers(0, 3)), max_size=2, unique_by=lambda c: c[0]),
    st.booleans(),
)
def test_the_indexes_say_what_the_rule_says(
    zones: list[str], there: list[tuple[int, bool]], constraints: list[tuple[str, int, int]], narrow: bool
) -> None:
    placed: dict[str, list[core_pb2.Pod]] = {}
    for i, (n, web) in enumerate(there):
        labels = WEB if web else {}
        placed.setdefault(f"n{n % len(zones)}", []).append(make.pod(f"p{i}", labels=labels))
    cache = cluster(*zones, placed=placed)
    pod = make.pod("new", labels=WEB, node_selector={ZONE: "a"} if narrow else None)
    for key, skew, least in constraints:
        constraint = spread(pod, key, skew, app="web")
        if least:
            constraint.minDomains = least
    for node, answer in zip(cache.nodes, answers(cache, pod), strict=True):
        if not narrow or node.labels.get(ZONE) == "a":
            assert answer == _plainly(cache, constraints, node.labels, narrow=narrow)


def _plainly(cache: Cache, constraints: list[tuple[str, int, int]], labels: dict[str, str], *, narrow: bool) -> str:
    keys = [key for key, _, _ in constraints]
    eligible = [
        node
        for node in cache.nodes
        if all(key in node.labels for key in keys) and (not narrow or node.labels.get(ZONE) == "a")
    ]
    for key, skew, least in constraints:
        if key not in labels:
            return MISSING
        counts: dict[str, int] = {}
        for node in eligible:
            pods = sum(pod.labels.get("app") == "web" for pod in node.pods.values())
            counts[node.labels[key]] = counts.get(node.labels[key], 0) + pods
        fewest = 0 if len(counts) < least else min(counts.values(), default=0)
        if counts.get(labels[key], 0) + 1 - fewest > skew:
            return SKEWED
    return ""
