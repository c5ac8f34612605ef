"""The DaemonSet controller, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import intstr
from kubelab.apimachinery.scheme import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from kubelab.controllermanager.daemonset.pods import make_pod, node_of, tolerations
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import events, pods


def daemon_set(name: str = "agent", image: str = "v1", **spec: Any) -> apps_pb2.DaemonSet:
    made = apps_pb2.DaemonSet()
    made.metadata.name, made.metadata.namespace = name, "default"
    made.spec.selector.matchLabels["app"] = name
    made.spec.template.metadata.labels["app"] = name
    made.spec.template.spec.containers.add(name="main", image=image)
    for field, value in spec.items():
        setattr(made.spec, field, value)
    return made


def status(server: ApiServerInMemory) -> apps_pb2.DaemonSetStatus:
    found = server.get(DAEMON_SETS, "default/agent")
    assert found is not None
    return found.status


def serve(server: ApiServerInMemory) -> None:
    """Do the part of scheduler and kubelets: every pod runs on its node and is ready."""
    for pod in server.objects(PODS):
        if pod.status.phase == "Pending" and not pod.metadata.HasField("deletionTimestamp"):
            pod.spec.nodeName = node_of(pod)
            pod.status.phase = "Running"
            pod.status.conditions.add(type="Ready", status="True")
            server.add(pod)


def images(server: ApiServerInMemory) -> dict[str, str]:
    return {node_of(pod): pod.spec.containers[0].image for pod in pods(server)}


def change(server: ApiServerInMemory, how: Callable[[apps_pb2.DaemonSet], object]) -> None:
    found = server.get(DAEMON_SETS, "default/agent")
    assert found is not None
    how(found)
    found.metadata.generation += 1
    server.add(found)


def set_image(found: apps_pb2.DaemonSet, image: str) -> None:
    found.spec.template.spec.containers[0].image = image


def leave(server: ApiServerInMemory) -> None:
    """Do the kubelets' part: what is being deleted ends."""
    for pod in pods(server, leaving=True):
        server.remove(PODS, f"default/{pod.metadata.name}")


async def cluster(clock: FakeClock, made: apps_pb2.DaemonSet, *nodes: core_pb2.Node) -> ApiServerInMemory:
    server = ApiServerInMemory(clock=clock)
    server.add(*nodes)
    await server.client().create(made)
    return server


def test_a_daemon_tolerates_a_node_in_trouble_and_has_no_other_choice() -> None:
    made = daemon_set()
    pod = make_pod(made, "node-1", "abc")
    assert node_of(pod) == "node-1"
    assert pod.metadata.labels["controller-revision-hash"] == "abc"
    keys = [(t.key.removeprefix("node.kubernetes.io/"), t.effect) for t in pod.spec.tolerations]
    assert keys == [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ]
    made.spec.template.spec.hostNetwork = True
    assert tolerations(made.spec.template.spec)[-1].key == "node.kubernetes.io/network-unavailable"


async def test_a_pod_on_every_node_that_fits(running: Run) -> None:
    clock = FakeClock()
    made = daemon_set()
    made.spec.template.spec.nodeSelector["disk"] = "ssd"
    ssd = {"disk": "ssd"}
    server = await cluster(
        clock,
        made,
        make.node("a", labels=ssd),
        make.node("b", labels=ssd, unschedulable=True, taints=[make.taint("node.kubernetes.io/unschedulable")]),
        make.node("c", labels=ssd, taints=[make.taint("dedicated")]),
        make.node("d"),
    )
    async with running(server, "daemonset", clock=clock):
        await clock.settle()
        assert sorted(images(server)) == ["a", "b"]
        serve(server)
        await clock.advance(1)
        s = status(server)
        assert (s.desiredNumberScheduled, s.currentNumberScheduled, s.numberReady, s.numberMisscheduled) == (2, 2, 2, 0)
        assert (s.updatedNumberScheduled, s.numberAvailable, s.numberUnavailable, s.observedGeneration) == (2, 2, 0, 1)
        server.add(make.node("e", labels=ssd))
        await clock.advance(1)
        assert sorted(images(server)) == ["a", "b", "e"]
        server.add(make.node("a"))  # it lost its label
        await clock.advance(1)
        leave(server)
        await clock.advance(1)
        assert sorted(images(server)) == ["b", "e"]
        server.remove(PODS, f"default/{pods(server)[0].metadata.name}")
        await clock.advance(1)
        assert sorted(images(server)) == ["b", "e"]
        tainted = make.node("b", labels=ssd, taints=[make.taint("dedicated")])  # who runs there may stay
        server.add(tainted)
        serve(server)
        await clock.advance(1)
        assert sorted(images(server)) == ["b", "e"]
        assert status(server).numberMisscheduled == 1
    assert events(server, "SuccessfulCreate")[0].source.component == "daemonset-controller"


@pytest.mark.parametrize(("unavailable", "at_once"), [("1", 1), ("50%", 2), ("100%", 4)])
async def test_a_rolling_update_keeps_its_bound(running: Run, unavailable: str, at_once: int) -> None:
    clock = FakeClock()
    made = daemon_set()
    made.spec.updateStrategy.rollingUpdate.maxUnavailable.CopyFrom(intstr.parse(unavailable))
    server = await cluster(clock, made, *(make.node(name) for name in "abcd"))
    async with running(server, "daemonset", clock=clock):
        await clock.settle()
        serve(server)
        await clock.advance(1)
        change(server, lambda found: set_image(found, "v2"))
        most = 0
        for _ in range(12):
            await clock.advance(1)
            most = max(most, len(pods(server, leaving=True)))
            ready = [pod for pod in pods(server) if pod.status.phase == "Running"]
            assert len(ready) >= 4 - at_once
            leave(server)
            await clock.advance(1)
            serve(server)
    assert most == at_once
    assert set(images(server).values()) == {"v2"}
    assert len(images(server)) == 4
    assert status(server).updatedNumberScheduled == 4
    assert sorted(one.revision for one in server.objects(CONTROLLER_REVISIONS)) == [1, 2]


async def test_a_surge_makes_the_new_pod_first(running: Run) -> None:
    clock = FakeClock()
    made = daemon_set()
    made.spec.updateStrategy.rollingUpdate.maxUnavailable.CopyFrom(intstr.from_int(0))
    made.spec.updateStrategy.rollingUpdate.maxSurge.CopyFrom(intstr.from_int(1))
    server = await cluster(clock, made, make.node("a"), make.node("b"))
    async with running(server, "daemonset", clock=clock):
        await clock.settle()
        serve(server)
        await clock.advance(1)
        change(server, lambda found: set_image(found, "v2"))
        for _ in range(6):
            await clock.advance(1)
            assert len([pod for pod in pods(server) if pod.status.phase == "Running"]) >= 2
            assert len(pods(server)) <= 3
            leave(server)
            serve(server)
        await clock.advance(1)
        leave(server)
    assert images(server) == {"a": "v2", "b": "v2"}
    assert len(pods(server)) == 2


async def test_on_delete_waits_and_an_old_template_keeps_its_revision(running: Run) -> None:
    clock = FakeClock()
    made = daemon_set()
    made.spec.updateStrategy.type = "OnDelete"
    server = await cluster(clock, made, make.node("a"))
    async with running(server, "daemonset", clock=clock):
        await clock.settle()
        serve(server)
        change(server, lambda found: set_image(found, "v2"))
        await clock.advance(2)
        assert images(server) == {"a": "v1"}
        assert status(server).updatedNumberScheduled == 0
        server.remove(PODS, f"default/{pods(server)[0].metadata.name}")
        await clock.advance(2)
        assert images(server) == {"a": "v2"}
        change(server, lambda found: set_image(found, "v1"))
        await clock.advance(2)
    numbers = {one.revision: one.data.raw for one in server.objects(CONTROLLER_REVISIONS)}
    assert sorted(numbers) == [2, 3]
    assert b'"v1"' in numbers[3]


async def test_the_history_is_cut_but_not_below_what_pods_need(running: Run) -> None:
    clock = FakeClock()
    made = daemon_set(revisionHistoryLimit=1)
    made.spec.updateStrategy.type = "OnDelete"
    server = await cluster(clock, made, make.node("a"))
    async with running(server, "daemonset", clock=clock):
        for n in range(2, 6):
            await clock.advance(2)
            change(server, lambda found, n=n: set_image(found, f"v{n}"))
        await clock.advance(2)
    assert sorted(one.revision for one in server.objects(CONTROLLER_REVISIONS)) == [1, 4, 5]


async def test_a_pod_that_fails_again_and_again_is_replaced_ever_more_slowly(running: Run) -> None:
    clock = FakeClock()
    server = await cluster(clock, daemon_set(), make.node("a"))
    async with running(server, "daemonset", clock=clock):
        for _ in range(60):
            await clock.advance(1)
            for pod in pods(server):
                pod.spec.nodeName, pod.status.phase = "a", "Failed"
                server.add(pod)
            leave(server)
    assert 4 <= len(server.calls_of("create", PODS)) <= 9
    assert "Found failed daemon pod default/agent-" in events(server, "FailedDaemonPod")[0].message


async def test_its_pods_and_revisions_go_with_it(running: Run) -> None:
    clock = FakeClock()
    server = await cluster(clock, daemon_set(), make.node("a"))
    async with running(server, "daemonset", "garbagecollector", clock=clock):
        await clock.advance(1)
        assert len(pods(server)) == 1
        await server.client().delete(DAEMON_SETS, "agent", "default", propagation_policy="Foreground")
        await clock.advance(1)
        leave(server)
        await clock.advance(2)
    assert server.objects(CONTROLLER_REVISIONS) == []
    assert server.objects(DAEMON_SETS) == []
    assert server.get(NODES, "a") is not None
