"""Filters and scores, each alone, and the words that add their answers up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.scheduler import clusterevents
from kubelab.scheduler.algorithm import Algorithm, FitError, ScheduleResult, feasible_wanted
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.framework import SKIP, CycleState, FilterPlugin
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.plugins.nodeaffinity import NodeAffinity
from kubelab.scheduler.plugins.nodes import NodeName, NodeUnschedulable, TaintToleration
from kubelab.scheduler.plugins.resources import NodePorts, NodeResourcesBalancedAllocation, NodeResourcesFit
from kubelab.scheduler.profile import Framework
from kubelab.scheduler.workloads import equal_to
from tests.support import objects as make
from tests.unit.scheduler.handles import handle

HARD = make.taint("k", value="v")
SOFT = make.taint("k", effect="PreferNoSchedule")
TOLERATES_K = core_pb2.Toleration(key="k", operator="Exists")
TOLERATES_CORDON = core_pb2.Toleration(key="node.kubernetes.io/unschedulable", operator="Exists", effect="NoSchedule")


@dataclass
class Case:
    name: str
    plugin: FilterPlugin
    pod: core_pb2.Pod = field(default_factory=make.pod)
    node: core_pb2.Node = field(default_factory=make.node)
    there: list[core_pb2.Pod] = field(default_factory=list[core_pb2.Pod])
    reasons: tuple[str, ...] = ()
    resolvable: bool = False


CPU = "Insufficient cpu"
PORTS = "node(s) didn't have free ports for the requested pod ports"
SELECTOR = "node(s) didn't match Pod's node affinity/selector"
CASES = [
    Case("open node", NodeUnschedulable()),
    Case("cordoned", NodeUnschedulable(), node=make.node(unschedulable=True), reasons=("node(s) were unschedulable",)),
    Case(
        "cordon tolerated",
        NodeUnschedulable(),
        make.pod(tolerations=[TOLERATES_CORDON]),
        make.node(unschedulable=True),
    ),
    Case("asked for by name", NodeName(), make.pod(node="node-1")),
    Case(
        "asked for another",
        NodeName(),
        make.pod(node="x"),
        reasons=("node(s) didn't match the requested node name",),
    ),
    Case(
        "taint",
        TaintToleration(),
        node=make.node(taints=[HARD]),
        reasons=("node(s) had untolerated taint {k: v}",),
    ),
    Case("taint tolerated", TaintToleration(), make.pod(tolerations=[TOLERATES_K]), make.node(taints=[HARD])),
    Case("soft taint rejects nobody", TaintToleration(), node=make.node(taints=[SOFT])),
    Case("label there", NodeAffinity(), make.pod(node_selector={"disk": "ssd"}), make.node(labels={"disk": "ssd"})),
    Case("label differs", NodeAffinity(), make.pod(node_selector={"disk": "ssd"}), reasons=(SELECTOR,)),
    Case("port free", NodePorts(), make.pod(host_ports=[80]), there=[make.pod("b", host_ports=[81])]),
    Case("a node's own port", NodePorts(), make.pod(host_ports=[10250]), reasons=(PORTS,), resolvable=True),
    Case(
        "port taken",
        NodePorts(),
        make.pod(host_ports=[80]),
        there=[make.pod("b", host_ports=[80])],
        reasons=(PORTS,),
        resolvable=True,
    ),
    Case("fits", NodeResourcesFit(), make.pod(requests={"cpu": "4", "memory": "8Gi"})),
    Case("too big for any such node", NodeResourcesFit(), make.pod(requests={"cpu": "4100m"}), reasons=(CPU,)),
    Case(
        "no room left",
        NodeResourcesFit(),
        make.pod(requests={"cpu": "3"}),
        there=[make.pod("b", requests={"cpu": "1500m"})],
        reasons=(CPU,),
        resolvable=True,
    ),
    Case(
        "several reasons",
        NodeResourcesFit(),
        make.pod(requests={"cpu": "5", "memory": "9Gi", "example.com/gpu": "1"}),
        make.node(pods="0"),
        reasons=("Too many pods", CPU, "Insufficient memory", "Insufficient example.com/gpu"),
    ),
    Case(
        "the number of pods",
        NodeResourcesFit(),
        node=make.node(pods="1"),
        there=[make.pod("b")],
        reasons=("Too many pods",),
        resolvable=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.plugin.name}: {case.name}")
def test_filters(case: Case) -> None:
    cache = Cache()
    cache.set_node(case.node)
    for pod in case.there:
        cache.assume(PodInfo.of(pod), case.node.metadata.name)
    pod = PodInfo.of(case.pod)
    skipped = case.plugin.pre_filter(CycleState(), pod, cache) is SKIP
    rejection = case.plugin.filter(CycleState(), pod, cache.nodes[0])
    if skipped:
        assert case.reasons == ()
        return
    assert (rejection.reasons if rejection else ()) == case.reasons
    if rejection:
        assert rejection.resolvable is case.resolvable
        assert rejection.retry_on


def cluster(*nodes: core_pb2.Node) -> Cache:
    cache = Cache()
    for node in nodes:
        cache.set_node(node)
    return cache


def test_what_people_read_when_no_node_fits() -> None:
    cache = cluster(
        make.node("a", taints=[HARD]),
        make.node("b", taints=[HARD]),
        make.node("c"),
    )
    cache.assume(PodInfo.of(make.pod("big", requests={"cpu": "3"})), "c")
    answer = Algorithm().decide(Framework(handle()), PodInfo.of(make.pod(requests={"cpu": "2"})), cache)
    assert isinstance(answer, FitError)
    assert answer.message == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {k: v}. "
        "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )
    assert clusterevents.POD_GONE in answer.retry_on
    assert clusterevents.NODE_TAINTED in answer.retry_on
    assert clusterevents.NODE_LABELED not in answer.retry_on


def test_a_cluster_without_nodes() -> None:
    answer = Algorithm().decide(Framework(handle()), PodInfo.of(make.pod()), cluster())
    assert isinstance(answer, FitError)
    assert answer.message == "no nodes available to schedule pods"
    assert answer.retry_on == {clusterevents.NODE_ADDED}


def placed(cache: Cache, pod: core_pb2.Pod) -> str:
    answer = Algorithm().decide(Framework(handle()), PodInfo.of(pod), cache)
    assert isinstance(answer, ScheduleResult)
    cache.assume(PodInfo.of(pod), answer.node)
    cache.check_invariants()
    return answer.node


def test_the_emptiest_node_is_preferred() -> None:
    cache = cluster(make.node("a"), make.node("b"))
    cache.assume(PodInfo.of(make.pod("x", requests={"cpu": "2", "memory": "4Gi"})), "a")
    assert placed(cache, make.pod("y", requests={"cpu": "1", "memory": "2Gi"})) == "b"


def test_pods_of_one_controller_spread_though_another_node_is_emptier() -> None:
    rc = make.replication_controller("web")
    cache = cluster(make.node("a"), make.node("b", cpu="2"), make.node("c", cpu="3"))
    cache.workloads.set_controller(rc.metadata.uid, equal_to(rc.spec.selector))
    pods = [make.pod(f"web-{n}", labels={"app": "web"}, owner=make.controlled_by(rc)) for n in range(6)]
    nodes = [placed(cache, pod) for pod in pods]
    assert {node: nodes.count(node) for node in "abc"} == {"a": 2, "b": 2, "c": 2}


def test_pods_behind_one_service_spread() -> None:
    cache = cluster(make.node("a"), make.node("b"), make.node("c"))
    cache.workloads.set_service("default", "web", {"app": "web"})
    cache.workloads.set_service("other", "web", {"tier": "front"})
    nodes = {placed(cache, make.pod(f"w{n}", labels={"app": "web", "tier": "front"})) for n in range(3)}
    assert nodes == {"a", "b", "c"}


def test_soft_taints_and_balance_score() -> None:
    cache = cluster(make.node("a", taints=[SOFT]), make.node("b"))
    pod = PodInfo.of(make.pod())
    assert TaintToleration().score(CycleState(), pod, cache.nodes, cache) == [0, 100]
    lopsided = PodInfo.of(make.pod(requests={"cpu": "4"}))
    assert NodeResourcesBalancedAllocation().score(CycleState(), lopsided, cache.nodes, cache) == [50, 50]


def test_equal_nodes_share_pods_fairly_and_the_same_question_has_the_same_answer() -> None:
    def once() -> list[str]:
        algorithm = Algorithm()
        cache = cluster(*(make.node(f"n{n}") for n in range(10)))
        answers = [algorithm.decide(Framework(handle()), PodInfo.of(make.pod(f"p{n}")), cache) for n in range(200)]
        return [answer.node for answer in answers if isinstance(answer, ScheduleResult)]

    nodes = once()
    assert nodes == once()
    assert len(set(nodes)) == 10
    assert max(nodes.count(node) for node in nodes) < 40


@pytest.mark.parametrize(
    ("nodes", "percentage", "wanted"),
    [(3, 0, 3), (99, 0, 99), (100, 0, 100), (1000, 0, 420), (6000, 0, 300), (1000, 10, 100), (1000, 100, 1000)],
)
def test_how_many_feasible_nodes_are_enough(nodes: int, percentage: int, wanted: int) -> None:
    assert feasible_wanted(nodes, percentage) == wanted


def test_in_a_big_cluster_every_node_gets_its_turn() -> None:
    cache = cluster(*(make.node(f"n{n}", pods="1") for n in range(300)))
    algorithm = Algorithm()
    for n in range(300):
        answer = algorithm.decide(Framework(handle()), PodInfo.of(make.pod(f"p{n}")), cache)
        assert isinstance(answer, ScheduleResult)
        assert answer.feasible <= feasible_wanted(300)
        cache.assume(PodInfo.of(make.pod(f"p{n}")), answer.node)
    assert isinstance(algorithm.decide(Framework(handle()), PodInfo.of(make.pod("one-too-many")), cache), FitError)
    cache.check_invariants()
