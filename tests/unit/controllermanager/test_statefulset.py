"""The StatefulSet controller, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery.scheme import CONTROLLER_REVISIONS, PODS, STATEFUL_SETS
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import events, pods


def stateful_set(image: str = "v1", **spec: Any) -> apps_pb2.StatefulSet:
    made = apps_pb2.StatefulSet()
    made.metadata.name, made.metadata.namespace = "db", "default"
    made.spec.serviceName, made.spec.replicas = "db-headless", 3
    made.spec.selector.matchLabels["app"] = "db"
    made.spec.template.metadata.labels["app"] = "db"
    made.spec.template.spec.containers.add(name="main", image=image)
    for field, value in spec.items():
        setattr(made.spec, field, value)
    return made


def status(server: ApiServerInMemory) -> apps_pb2.StatefulSetStatus:
    found = server.get(STATEFUL_SETS, "default/db")
    assert found is not None
    return found.status


def names(server: ApiServerInMemory) -> list[str]:
    return [pod.metadata.name for pod in pods(server)]


def images(server: ApiServerInMemory) -> list[str]:
    return [pod.spec.containers[0].image for pod in pods(server)]


def change(server: ApiServerInMemory, how: Callable[[apps_pb2.StatefulSet], object]) -> None:
    found = server.get(STATEFUL_SETS, "default/db")
    assert found is not None
    how(found)
    found.metadata.generation += 1
    server.add(found)


def scale(replicas: int) -> Callable[[apps_pb2.StatefulSet], object]:
    return lambda found: setattr(found.spec, "replicas", replicas)


def image(name: str) -> Callable[[apps_pb2.StatefulSet], object]:
    return lambda found: setattr(found.spec.template.spec.containers[0], "image", name)


def run_all(server: ApiServerInMemory) -> None:
    """Do the part of scheduler and kubelets: every pod runs on a node and is ready."""
    for pod in pods(server):
        if pod.status.phase == "Pending":
            pod.spec.nodeName, pod.status.phase = "node-1", "Running"
            pod.status.conditions.add(type="Ready", status="True")
            server.add(pod)


def leave(server: ApiServerInMemory) -> None:
    for pod in pods(server, leaving=True):
        server.remove(PODS, f"default/{pod.metadata.name}")


async def step(server: ApiServerInMemory, clock: FakeClock) -> None:
    """Let kubelets and controller each do their part once."""
    leave(server)
    await clock.advance(1)
    run_all(server)
    await clock.advance(1)


async def test_pods_come_one_after_the_other_and_go_in_the_other_order(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(stateful_set())
    async with running(server, "statefulset", clock=clock):
        await clock.advance(2)
        assert names(server) == ["db-0"]
        [first] = pods(server)
        assert (first.spec.hostname, first.spec.subdomain) == ("db-0", "db-headless")
        assert first.metadata.labels["statefulset.kubernetes.io/pod-name"] == "db-0"
        assert first.metadata.labels["apps.kubernetes.io/pod-index"] == "0"
        run_all(server)
        await clock.advance(1)
        assert names(server) == ["db-0", "db-1"]
        run_all(server)
        await clock.advance(1)
        run_all(server)
        await clock.advance(1)
        s = status(server)
        assert (s.replicas, s.readyReplicas, s.availableReplicas, s.currentReplicas, s.updatedReplicas) == (
            3,
            3,
            3,
            3,
            3,
        )
        assert first.metadata.labels["controller-revision-hash"] == s.currentRevision == s.updateRevision
        change(server, scale(1))
        await clock.advance(1)
        assert names(server) == ["db-0", "db-1"]
        await clock.advance(5)
        assert names(server) == ["db-0", "db-1"]  # db-2 is still there
        leave(server)
        await clock.advance(1)
        leave(server)
        await clock.advance(1)
        assert names(server) == ["db-0"]
    told = [event.message for event in events(server, "SuccessfulCreate")]
    assert "create Pod db-0 in StatefulSet db successful" in told
    assert events(server, "SuccessfulDelete")[0].message == "delete Pod db-2 in StatefulSet db successful"


async def test_parallel_pods_do_not_wait_and_ordinals_begin_elsewhere(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    made = stateful_set(podManagementPolicy="Parallel")
    made.spec.ordinals.start = 5
    await server.client().create(made)
    async with running(server, "statefulset", clock=clock):
        await clock.advance(1)
        assert names(server) == ["db-5", "db-6", "db-7"]
        change(server, scale(1))
        await clock.advance(1)
    assert names(server) == ["db-5"]


async def test_a_rolling_update_goes_from_the_last_to_the_first_down_to_its_partition(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    made = stateful_set()
    made.spec.updateStrategy.rollingUpdate.partition = 1
    await server.client().create(made)
    async with running(server, "statefulset", clock=clock):
        for _ in range(4):
            await step(server, clock)
        before = status(server).currentRevision
        change(server, image("v2"))
        await clock.advance(1)
        assert names(server) == ["db-0", "db-1"]
        for _ in range(4):
            await step(server, clock)
            assert len(pods(server)) >= 2
        assert images(server) == ["v1", "v2", "v2"]
        assert status(server).currentRevision == before != status(server).updateRevision
        server.remove(PODS, "default/db-0")  # below the partition it comes back as it was
        await step(server, clock)
        assert images(server) == ["v1", "v2", "v2"]
        change(server, lambda found: setattr(found.spec.updateStrategy.rollingUpdate, "partition", 0))
        for _ in range(4):
            await step(server, clock)
    assert images(server) == ["v2", "v2", "v2"]
    assert status(server).currentRevision == status(server).updateRevision != before
    assert sorted(one.revision for one in server.objects(CONTROLLER_REVISIONS)) == [1, 2]


async def test_a_pod_that_is_not_ready_stops_the_update(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(stateful_set(replicas=2))
    async with running(server, "statefulset", clock=clock):
        for _ in range(3):
            await step(server, clock)
        change(server, image("broken"))
        await clock.advance(1)
        leave(server)
        await clock.advance(30)
        assert images(server) == ["v1", "broken"]
        change(server, image("v3"))
        for _ in range(4):
            await step(server, clock)
    assert images(server) == ["v3", "v3"]


async def test_on_delete_replaces_nothing_by_itself(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    made = stateful_set(replicas=1)
    made.spec.updateStrategy.type = "OnDelete"
    await server.client().create(made)
    async with running(server, "statefulset", clock=clock):
        await step(server, clock)
        change(server, image("v2"))
        await step(server, clock)
        assert images(server) == ["v1"]
        server.remove(PODS, "default/db-0")
        await step(server, clock)
    assert images(server) == ["v2"]


async def test_a_pod_that_fails_again_and_again_is_made_ever_more_slowly_until_the_set_changes(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(stateful_set(replicas=1))
    async with running(server, "statefulset", clock=clock):
        for _ in range(60):
            await clock.advance(1)
            for pod in pods(server):
                pod.spec.nodeName, pod.status.phase = "node-1", "Failed"
                server.add(pod)
            leave(server)
        made = len(server.calls_of("create", PODS))
        assert 4 <= made <= 9
        changed = server.get(STATEFUL_SETS, "default/db")
        assert changed is not None
        changed.spec.template.spec.nodeName = ""
        changed.metadata.generation += 1
        server.add(changed)
        await clock.advance(1)
        leave(server)
        await clock.advance(1)
        assert len(server.calls_of("create", PODS)) == made + 1


async def test_an_ended_pod_is_made_anew_and_minimum_ready_seconds_count(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(stateful_set(replicas=2, minReadySeconds=10))
    async with running(server, "statefulset", clock=clock):
        await clock.advance(1)
        for pod in pods(server):
            pod.spec.nodeName, pod.status.phase = "node-1", "Running"
            ready = pod.status.conditions.add(type="Ready", status="True")
            ready.lastTransitionTime.seconds = int(clock.time())
            server.add(pod)
        await clock.advance(5)
        assert (names(server), status(server).readyReplicas, status(server).availableReplicas) == (["db-0"], 1, 0)
        await clock.advance(6)
        assert names(server) == ["db-0", "db-1"]
        assert status(server).availableReplicas == 1
        [pod] = [pod for pod in pods(server) if pod.metadata.name == "db-1"]
        pod.status.phase = "Failed"
        server.add(pod)
        await clock.advance(1)
        leave(server)
        await clock.advance(2)
    assert [pod.status.phase for pod in pods(server)] == ["Running", "Pending"]
    assert events(server, "RecreatingFailedPod")[0].message == "StatefulSet default/db is recreating failed Pod db-1"


async def test_only_its_own_pods_are_adopted(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    await server.client().create(stateful_set(replicas=1))
    label = "statefulset.kubernetes.io/pod-name"
    orphan = make.pod("db-0", labels={"app": "db", label: "db-0"}, phase="Running", ready=True)
    server.add(orphan, make.pod("other", labels={"app": "db"}), defaults=True)
    async with running(server, "statefulset", clock=clock):
        await clock.advance(2)
    adopted, other = server.get(PODS, "default/db-0"), server.get(PODS, "default/other")
    assert adopted is not None
    assert other is not None
    assert [ref.kind for ref in adopted.metadata.ownerReferences] == ["StatefulSet"]
    assert not other.metadata.ownerReferences
