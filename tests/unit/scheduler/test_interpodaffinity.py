"""Affinity to other pods: filters and scores over the indexes, against the rule said plainly."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.api.core.v1 import core_pb2
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.plugins.interpodaffinity import InterPodAffinity
from kubelab.scheduler.topology import HOSTNAME, ZONE
from tests.support import objects as make
from tests.unit.scheduler.placing import answers, away, cluster, near, prefer, scores

AFFINITY = "node(s) didn't match pod affinity rules"
ANTI = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"


def test_near_others_by_zone() -> None:
    cache = cluster("a", "a", "b", "-", placed={"n0": [make.pod("db", labels={"app": "db"})]})
    pod = make.pod()
    near(pod, app="db")
    assert answers(cache, pod) == ["", "", AFFINITY, AFFINITY]


def test_the_first_of_its_kind_may_go_anywhere_that_has_the_key() -> None:
    pod = make.pod(labels={"app": "web"})
    near(pod, app="web")
    assert answers(cluster("a", "b", "-"), pod) == ["", "", AFFINITY]
    stranger = make.pod("x", labels={"app": "x"})
    near(stranger, app="web")
    assert answers(cluster("a"), stranger) == [AFFINITY]


def test_of_several_terms_one_pod_must_match_all() -> None:
    placed = {"n0": [make.pod("db", labels={"app": "db"})], "n1": [make.pod("both", labels={"app": "db", "tier": "1"})]}
    pod = make.pod()
    near(pod, app="db")
    near(pod, tier="1")
    assert answers(cluster("a", "b", placed=placed), pod) == [AFFINITY, ""]


def test_away_from_others_and_others_away_from_it() -> None:
    hermit = make.pod("hermit", labels={"app": "hermit"})
    away(hermit, HOSTNAME, app="web")
    cache = cluster("a", "a", "b", placed={"n0": [hermit], "n2": [make.pod("w", labels={"app": "web"})]})
    pod = make.pod("web2", labels={"app": "web"})
    away(pod, app="web")
    assert answers(cache, pod) == [EXISTING, "", ANTI]
    assert answers(cache, make.pod("other", labels={"app": "other"})) == ["", "", ""]


def test_namespaces_of_a_term() -> None:
    db = make.pod("db", namespace="data", labels={"app": "db"})
    cache = cluster("a", placed={"n0": [db]})
    cache.namespaces.set("data", {"team": "b"})
    pod = make.pod()
    term = near(pod, app="db")
    assert answers(cache, pod) == [AFFINITY]  # its own namespace alone
    term.namespaceSelector.matchLabels["team"] = "b"
    assert answers(cache, pod) == [""]
    term.namespaceSelector.matchLabels["team"] = "c"
    assert answers(cache, pod) == [AFFINITY]
    term.namespaces.append("data")
    assert answers(cache, pod) == [""]
    del term.namespaces[:]
    term.namespaceSelector.Clear()
    term.namespaceSelector.SetInParent()
    assert answers(cache, pod) == [""]  # an empty one takes all


def test_a_term_without_selector_takes_nobody() -> None:
    cache = cluster("a", placed={"n0": [make.pod("db")]})
    pod = make.pod()
    away(pod).ClearField("labelSelector")
    assert answers(cache, pod) == [""]
    near(pod).ClearField("labelSelector")
    assert answers(cache, pod) == [AFFINITY]


def test_preferences_of_both_sides() -> None:
    plugin, web = InterPodAffinity(), {"app": "web"}
    assert scores(plugin, cluster("a", "b"), make.pod()) is None
    pod = make.pod(labels=web)
    prefer(pod, 10, app="db")
    prefer(pod, -5, app="noise")
    placed = {"n0": [make.pod("db", labels={"app": "db"})], "n1": [make.pod("noise", labels={"app": "noise"})]}
    assert scores(plugin, cluster("a", "b", "c", placed=placed), pod) == [100, 0, 33]
    fan = make.pod("fan")
    prefer(fan, 100, app="web")
    leaves = make.pod("leaves")
    prefer(leaves, -100, app="web")
    needs = make.pod("needs")
    near(needs, app="web")
    there = cluster("a", "b", "c", placed={"n0": [fan], "n1": [leaves], "n2": [needs]})
    assert scores(plugin, there, make.pod(labels=web)) == [100, 0, 50]
    assert scores(InterPodAffinity(hard_weight=100), there, make.pod(labels=web)) == [100, 0, 100]
    assert scores(InterPodAffinity(ignore_preferred_of_existing=True), there, make.pod(labels=web)) is None


def test_a_node_that_changes_its_zone_takes_its_pods_along() -> None:
    cache = cluster("a", "b", placed={"n0": [make.pod("db", labels={"app": "db"})]})
    pod = make.pod()
    near(pod, app="db")
    assert answers(cache, pod) == ["", AFFINITY]
    cache.set_node(make.node("n0", labels={ZONE: "b"}))
    assert answers(cache, pod) == ["", ""]
    cache.remove_node("n0")
    assert answers(cache, pod) == [AFFINITY]
    cache.check_invariants()


KEYS = st.sampled_from([ZONE, HOSTNAME])
LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from("xy"), max_size=2)


@st.composite
def pods(draw: st.DrawFn, name: str) -> core_pb2.Pod:
    pod = make.pod(name, labels=draw(LABELS), namespace=draw(st.sampled_from(["default", "other"])))
    for add in (near, away):
        for _ in range(draw(st.integers(0, 2))):
            term = add(pod, draw(KEYS), **draw(LABELS))
            if draw(st.booleans()):
                term.namespaceSelector.matchLabels.update(draw(st.sampled_from([{}, {"team": "a"}])))
    return pod


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(st.sampled_from("ab-"), min_size=1, max_size=4), st.integers(0, 5))
def test_the_indexes_say_what_the_rule_says(data: st.DataObject, zones: list[str], count: int) -> None:
    placed: dict[str, list[core_pb2.Pod]] = {f"n{n}": [] for n in range(len(zones))}
    for i in range(count):
        placed[data.draw(st.sampled_from(sorted(placed)))].append(data.draw(pods(f"p{i}")))
    cache = cluster(*zones, placed=placed)
    pod = data.draw(pods("new"))
    assert answers(cache, pod) == [_plainly(cache, PodInfo.of(pod), node.name) for node in cache.nodes]
    gone = data.draw(st.sampled_from(sorted(uid for node in cache.nodes for uid in node.pods) or ["nobody"]))
    cache.remove_pod(gone)
    assert answers(cache, pod) == [_plainly(cache, PodInfo.of(pod), node.name) for node in cache.nodes]
    cache.check_invariants()


def _plainly(cache: Cache, pod: PodInfo, name: str) -> str:
    """The rule, by looking at all pods."""
    node = cache.node(name)
    assert node is not None
    others = [(other, on) for on in cache.nodes for other in on.pods.values()]

    def takes(owner: PodInfo, term: int, kind: str, other: PodInfo) -> bool:
        return getattr(owner.neighbours, kind)[term].matches(
            other.namespace, other.labels, cache.namespaces.of(other.namespace)
        )

    def beside(key: str, on: object) -> bool:
        return key in node.labels and node.labels[key] == on.labels.get(key)  # type: ignore[attr-defined]

    terms = pod.neighbours.affinity
    all_match = [(o, on) for o, on in others if all(takes(pod, i, "affinity", o) for i in range(len(terms)))]
    if any(term.topology_key not in node.labels for term in terms):
        return AFFINITY
    if not all(any(beside(term.topology_key, on) for _, on in all_match) for term in terms):
        somewhere = any(term.topology_key in on.labels for term in terms for _, on in all_match)
        if somewhere or not all(takes(pod, i, "affinity", pod) for i in range(len(terms))):
            return AFFINITY
    for i, term in enumerate(pod.neighbours.anti_affinity):
        if any(takes(pod, i, "anti_affinity", o) and beside(term.topology_key, on) for o, on in others):
            return ANTI
    for other, on in others:
        for i, term in enumerate(other.neighbours.anti_affinity):
            if takes(other, i, "anti_affinity", pod) and beside(term.topology_key, on):
                return EXISTING
    return ""
