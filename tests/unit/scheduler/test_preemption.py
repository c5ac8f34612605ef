"""Preemption: which pods go for one of higher priority, and what everybody is told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery.scheme import EVENTS, PODS
from kubelab.scheduler.algorithm import Algorithm, FitError, ScheduleResult
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.profile import Framework
from kubelab.scheduler.topology import HOSTNAME
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.unit.scheduler.handles import handle
from tests.unit.scheduler.placing import away
from tests.unit.scheduler.test_scheduler import Run, messages, pod_of, running

__all__ = ["running"]  # the fixture


def pod(
    name: str,
    priority: int = 0,
    cpu: str = "2",
    *,
    node: str = "",
    started: int = 0,
    app: str = "",
    never: bool = False,
) -> core_pb2.Pod:
    made = make.pod(name, requests={"cpu": cpu}, node=node, labels={"app": app} if app else None)
    made.spec.priority = priority
    made.spec.preemptionPolicy = "Never" if never else "PreemptLowerPriority"
    if started:
        made.status.startTime.seconds = started
    return made


def cluster(**placed: Sequence[core_pb2.Pod]) -> Cache:
    """Make nodes of 4 cores with these pods."""
    cache = Cache()
    for node, pods in placed.items():
        cache.set_node(make.node(node))
        for one in pods:
            cache.assume(PodInfo.of(one), node)
    return cache


def room(cache: Cache, wanted: core_pb2.Pod) -> tuple[str, list[str]] | str:
    """Give the node and the victims' names, or what people read where there are none."""
    answer = Algorithm().decide(Framework(handle()), PodInfo.of(wanted), cache)
    cache.check_invariants()
    assert isinstance(answer, FitError)
    if answer.nomination is not None and answer.nomination.node:
        return answer.nomination.node, [victim.name for victim in answer.nomination.victims]
    return answer.message.partition(" preemption: ")[2]


def test_no_more_pods_go_than_must() -> None:
    cache = cluster(a=[pod("low", 1), pod("lower", 0)])
    assert room(cache, pod("high", 10)) == ("a", ["lower"])
    assert room(cache, pod("big", 10, "4")) == ("a", ["low", "lower"])


def test_only_pods_of_lower_priority_go() -> None:
    cache = cluster(a=[pod("equal", 10, "4")], b=[pod("above", 20, "4")])
    none = "0/2 nodes are available: 2 No preemption victims found for incoming pod."
    assert room(cache, pod("high", 10)) == none


def test_where_it_would_not_help() -> None:
    cache = cluster(a=[pod("low", 0, "4")])
    assert room(cache, pod("huge", 10, "5")) == ("0/1 nodes are available: 1 Preemption is not helpful for scheduling.")
    assert room(cache, pod("shy", 10, never=True)) == "not eligible due to preemptionPolicy=Never."


@pytest.mark.parametrize(
    ("a", "b", "node"),
    [
        ([pod("a1", 5, "4")], [pod("b1", 3, "4")], "b"),  # the lower priority
        ([pod("a1", 3), pod("a2", 3)], [pod("b1", 3, "4")], "b"),  # fewer of them
        ([pod("a1", 3, "4", started=100)], [pod("b1", 3, "4", started=200)], "b"),  # the younger one
    ],
    ids=["priority", "number", "age"],
)
def test_the_node_whose_victims_matter_least(a: list[core_pb2.Pod], b: list[core_pb2.Pod], node: str) -> None:
    chosen = room(cluster(a=a, b=b), pod("high", 10, "4"))
    assert isinstance(chosen, tuple)
    assert chosen[0] == node


def test_budgets_are_kept_where_they_can_be() -> None:
    cache = cluster(a=[pod("web", 0, "4", app="web")], b=[pod("b1", 3), pod("b2", 3)])
    budget = policy_pb2.PodDisruptionBudget()
    budget.metadata.name, budget.metadata.namespace = "web", "default"
    budget.spec.selector.matchLabels["app"] = "web"
    cache.budgets["default/web"] = budget
    chosen = room(cache, pod("high", 10, "4"))
    assert chosen == ("b", ["b1", "b2"])
    budget.status.disruptionsAllowed = 1
    assert room(cache, pod("high", 10, "4")) == ("a", ["web"])


def test_anti_affinity_of_a_pod_that_goes_is_gone_as_well() -> None:
    hermit = pod("hermit", 0, "1")
    away(hermit, HOSTNAME, app="web")
    assert room(cluster(a=[hermit]), pod("high", 10, "1", app="web")) == ("a", ["hermit"])


def test_room_that_is_made_for_one_is_not_anothers() -> None:
    cache = cluster(a=[])
    cache.nominate(PodInfo.of(pod("high", 10, "4")), "a")
    later = Algorithm().decide(Framework(handle()), PodInfo.of(pod("low", 0)), cache)
    assert isinstance(later, FitError)
    more = Algorithm().decide(Framework(handle()), PodInfo.of(pod("higher", 20)), cache)
    assert isinstance(more, ScheduleResult)
    itself = Algorithm().decide(Framework(handle()), PodInfo.of(pod("high", 10, "4")), cache)
    assert itself == ScheduleResult("a", 1, 1)
    cache.check_invariants()


async def test_a_pod_gets_the_room_of_another(running: Run) -> None:
    server = ApiServerInMemory()
    low = pod("low", 0, "4", node="node-1")
    low.status.phase = "Running"
    server.add(make.node("node-1"), low, pod("high", 10, "4"))
    async with running(server):
        await server.until(lambda: pod_of(server, "low").metadata.HasField("deletionTimestamp"))
        await server.until(lambda: pod_of(server, "high").status.nominatedNodeName == "node-1")
        (target,) = [c for c in pod_of(server, "low").status.conditions if c.type == "DisruptionTarget"]
        assert (target.status, target.reason) == ("True", "PreemptionByScheduler")
        assert target.message == "default-scheduler: preempting to accommodate a higher priority pod"
        await server.until(lambda: messages(server, "Preempted") == ["Preempted by pod uid-of-high on node node-1"])
        assert messages(server, "FailedScheduling") == ["0/1 nodes are available: 1 Insufficient cpu."]
        server.add(pod("late", 0, "1"))  # it must not take what is made free
        await server.until(lambda: any("late" in e.metadata.name for e in server.objects(EVENTS)))
        server.remove(PODS, "default/low")
        await server.until(lambda: pod_of(server, "high").spec.nodeName == "node-1")
        assert not pod_of(server, "late").spec.nodeName


async def test_a_pod_that_never_preempts_waits(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.node("node-1"), pod("low", 0, "4", node="node-1"), pod("shy", 10, "4", never=True))
    async with running(server):
        await server.until(lambda: messages(server, "FailedScheduling"))
    assert messages(server, "FailedScheduling") == [
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
    ]
    assert not pod_of(server, "low").metadata.HasField("deletionTimestamp")
