"""Node affinity by labels and names, images that are there already, and gates."""

from __future__ import annotations

import asyncio

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.nodeaffinity import NODE_NAME, RequiredNodeAffinity, preferred_terms
from kubelab.scheduler import clusterevents
from kubelab.scheduler.algorithm import Algorithm, FitError, ScheduleResult
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.framework import CycleState, OnlyNodes, Rejection
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.plugins.imagelocality import ImageLocality
from kubelab.scheduler.plugins.nodeaffinity import NodeAffinity
from kubelab.scheduler.profile import Framework
from kubelab.scheduler.queue import SchedulingQueue
from tests.support import objects as make
from tests.support.clock import FakeClock
from tests.unit.scheduler.handles import handle
from tests.unit.scheduler.placing import answers, cluster, scores

MB = 1024 * 1024


def on(pod: core_pb2.Pod, *nodes: str) -> core_pb2.Pod:
    """Let a pod ask for nodes by name, as daemons do."""
    required = pod.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    for node in nodes:
        required.nodeSelectorTerms.add().matchFields.add(key=NODE_NAME, operator="In", values=[node])
    return pod


def test_a_pod_that_names_its_nodes_looks_at_no_others() -> None:
    cache = cluster("a", "b", "c")
    decision = Algorithm().decide(Framework(handle()), PodInfo.of(on(make.pod(), "n1")), cache)
    assert decision == ScheduleResult("n1", 3, 1)
    cache.assume(PodInfo.of(make.pod("big", requests={"cpu": "4"})), "n1")
    full = Algorithm().decide(Framework(handle()), PodInfo.of(on(make.pod(requests={"cpu": "1"}), "n1", "n7")), cache)
    assert isinstance(full, FitError)
    assert full.message.startswith(
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. "
        "preemption: 0/3 nodes are available: "
    )
    assert clusterevents.NODE_ADDED in full.retry_on


def test_names_that_exclude_each_other() -> None:
    pod = on(make.pod(), "n1")
    term = pod.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]
    term.matchFields.add(key=NODE_NAME, operator="In", values=["n2"])
    assert answers(cluster("a", "b"), pod) == ["pod affinity terms conflict"] * 2


def test_preferred_terms_add_up() -> None:
    pod = make.pod()
    for weight, zone in ((30, "a"), (90, "b")):
        preferred = pod.spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution.add(weight=weight)
        preferred.preference.matchExpressions.add(key="topology.kubernetes.io/zone", operator="In", values=[zone])
    assert scores(NodeAffinity(), cluster("a", "b", "c"), pod) == [33, 100, 0]
    assert scores(NodeAffinity(), cluster("a"), make.pod()) is None


def test_a_profiles_own_affinity_is_every_pods() -> None:
    added = on(make.pod(), "n1").spec
    plugin, cache, pod = (
        NodeAffinity(RequiredNodeAffinity.of(added), preferred_terms(added)),
        cluster("a", "b"),
        make.pod(),
    )
    state = CycleState()
    assert not isinstance(plugin.pre_filter(state, PodInfo.of(pod), cache), Rejection | OnlyNodes)
    found = [plugin.filter(state, PodInfo.of(pod), node) for node in cache.nodes]
    assert [no.reasons if no else () for no in found] == [
        ("node(s) didn't match scheduler-enforced node affinity",),
        (),
    ]


def test_a_node_with_the_image_is_preferred() -> None:
    cache = Cache()
    for n in range(4):
        node = make.node(f"n{n}")
        if n < 2:
            node.status.images.add(names=["web:latest", "web@sha256:1"], sizeBytes=600 * MB)
        cache.set_node(node)
    pod = make.pod()
    assert scores(ImageLocality(), cache, pod) is None
    pod.spec.containers[0].image = "web"
    # half of the nodes have it, so half of its bytes count: (300 - 23) of (1000 - 23)
    assert scores(ImageLocality(), cache, pod) == [28, 28, 0, 0]
    cache.remove_node("n0")
    cache.set_node(make.node("n1"))
    assert scores(ImageLocality(), cache, pod) is None
    cache.check_invariants()


async def test_a_gated_pod_waits_for_its_last_gate() -> None:
    clock, framework = FakeClock(), Framework(handle())
    queue = SchedulingQueue(clock, pre_enqueue=framework.pre_enqueue)
    pod = make.pod()
    for name in ("a", "b"):
        pod.spec.schedulingGates.add(name=f"example.com/{name}")
    queue.add(PodInfo.of(pod))
    waiting = asyncio.ensure_future(queue.pop())
    del pod.spec.schedulingGates[0]
    queue.add(PodInfo.of(pod))
    assert queue.move(clusterevents.NODE_ADDED) == 0
    await clock.advance(600)
    assert queue.statistics()["gated"] == 1
    assert not waiting.done()
    queue.check_invariants()
    del pod.spec.schedulingGates[0]
    queue.add(PodInfo.of(pod))
    queued = await asyncio.wait_for(waiting, 5)
    assert queued.pod.name == "web"
    queue.check_invariants()


async def test_a_gated_pod_that_is_deleted_leaves_nothing() -> None:
    queue = SchedulingQueue(FakeClock(), pre_enqueue=Framework(handle()).pre_enqueue)
    pod = make.pod()
    pod.spec.schedulingGates.add(name="a")
    queue.add(PodInfo.of(pod))
    queue.remove(pod.metadata.uid)
    assert not queue.holds(pod.metadata.uid)
    queue.check_invariants()
