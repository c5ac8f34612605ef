"""Deployments and their ReplicaSets, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.apps import deployments
from kubelab.apimachinery.core.conditions import get_condition
from kubelab.apimachinery.scheme import DEPLOYMENTS, PODS, REPLICA_SETS
from tests.support import objects as make
from tests.support import tasks
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import events, pods, run_all

BOTH = ("deployment", "replicaset")


def web(server: ApiServerInMemory) -> apps_pb2.Deployment:
    deployment = server.get(DEPLOYMENTS, "default/web")
    assert deployment is not None
    return deployment


def sets(server: ApiServerInMemory) -> list[apps_pb2.ReplicaSet]:
    """The ReplicaSets, by revision."""
    return sorted(server.objects(REPLICA_SETS), key=deployments.revision)


def sizes(server: ApiServerInMemory) -> list[int]:
    return [rs.spec.replicas for rs in sets(server)]


def images(server: ApiServerInMemory) -> list[str]:
    return [rs.spec.template.spec.containers[0].image for rs in sets(server)]


def reason(server: ApiServerInMemory, kind: str = "Progressing") -> str:
    condition = get_condition(web(server).status.conditions, kind)
    return condition.reason if condition is not None else ""


def complete(server: ApiServerInMemory) -> bool:
    deployment = web(server)
    return deployments.is_complete(deployment, deployment.status)


async def change(server: ApiServerInMemory, *, image: str = "", replicas: int = -1, paused: bool | None = None) -> None:
    """Update the Deployment as a user does."""
    client = server.client("user")
    while True:
        deployment = await client.get(DEPLOYMENTS, "web", "default")
        if image:
            deployment.spec.template.spec.containers[0].image = image
        if replicas >= 0:
            deployment.spec.replicas = replicas
        if paused is not None:
            deployment.spec.paused = paused
        with contextlib.suppress(errors.ApiError):  # tried again
            await client.update(deployment)
            return


def bind_and_run(server: ApiServerInMemory) -> None:
    """Do a scheduler's and a kubelet's part."""
    for pod in pods(server):
        if not pod.spec.nodeName:
            pod.spec.nodeName = "node-1"
            server.add(pod)
    run_all(server)


@contextlib.asynccontextmanager
async def kubelet(server: ApiServerInMemory) -> AsyncGenerator[None]:
    """Run every pod as soon as it is there, and end it when it is deleted."""

    async def work() -> None:
        while True:
            bind_and_run(server)
            for pod in pods(server, leaving=True):
                server.remove(PODS, f"default/{pod.metadata.name}")
            seen = server.revision
            await server.until(lambda seen=seen: server.revision != seen, seconds=60)

    async with tasks.running(work()):
        yield


def messages(found: list[core_pb2.Event]) -> list[str]:
    return [event.message for event in found]


async def test_a_deployment_makes_a_replica_set_and_that_its_pods(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.deployment(replicas=3), defaults=True)
    async with running(server, *BOTH), kubelet(server):
        await server.until(lambda: complete(server) and reason(server) == "NewReplicaSetAvailable")
        await server.until(lambda: events(server, "ScalingReplicaSet"))
    [replica_set] = sets(server)
    name, label = replica_set.metadata.name, replica_set.metadata.labels["pod-template-hash"]
    assert name == f"web-{label}"
    assert dict(replica_set.spec.selector.matchLabels) == {"app": "web", "pod-template-hash": label}
    assert dict(replica_set.metadata.annotations) == {
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    assert [*replica_set.metadata.ownerReferences] == [make.controlled_by(web(server))]
    assert [p.metadata.labels["pod-template-hash"] for p in pods(server)] == [label] * 3
    assert all(p.metadata.name.startswith(f"{name}-") for p in pods(server))
    assert messages(events(server, "ScalingReplicaSet")) == [f"Scaled up replica set {name} from 0 to 3"]
    deployment = web(server)
    assert deployment.metadata.annotations["deployment.kubernetes.io/revision"] == "1"
    status = deployment.status
    assert (status.replicas, status.updatedReplicas, status.readyReplicas, status.availableReplicas) == (3,) * 4
    assert (status.unavailableReplicas, status.observedGeneration) == (0, deployment.metadata.generation)
    conditions = {c.type: (c.status, c.reason, c.message) for c in status.conditions}
    assert conditions == {
        "Available": ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        "Progressing": ("True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.'),
    }


async def test_a_new_image_is_rolled_out_and_rolled_back(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.deployment(replicas=4), defaults=True)
    async with running(server, *BOTH), kubelet(server):
        await server.until(lambda: complete(server))
        await change(server, image="host:2")
        await server.until(lambda: complete(server) and len(sets(server)) == 2)
        assert sizes(server) == [0, 4]
        assert {p.spec.containers[0].image for p in pods(server)} == {"host:2"}
        first = sets(server)[0].metadata.name
        await change(server, image="host:1")
        await server.until(
            lambda: complete(server) and sizes(server) == [0, 4] and sets(server)[1].metadata.name == first
        )
        await server.until(lambda: web(server).metadata.annotations[deployments.REVISION] == "3")
    annotations = sets(server)[1].metadata.annotations
    assert annotations["deployment.kubernetes.io/revision"] == "3"
    assert annotations["deployment.kubernetes.io/revision-history"] == "1"


async def test_recreate_ends_all_old_pods_before_it_makes_new_ones(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    server.add(make.deployment(replicas=2, recreate=True), defaults=True)
    async with running(server, *BOTH, clock=clock):
        await clock.settle()
        bind_and_run(server)
        await clock.advance(2)
        assert complete(server)
        await change(server, image="host:2")
        await clock.advance(30)
        assert len(pods(server, leaving=True)) == 2
        assert sizes(server) == [0]
        for pod in pods(server, leaving=True):
            server.remove(PODS, f"default/{pod.metadata.name}")
        await clock.advance(2)
        assert [p.spec.containers[0].image for p in pods(server)] == ["host:2"] * 2
        bind_and_run(server)
        await clock.advance(2)
        assert complete(server)
    assert sizes(server) == [0, 2]


async def test_a_paused_deployment_is_scaled_and_not_rolled_out(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.deployment(replicas=2), defaults=True)
    async with running(server, *BOTH), kubelet(server):
        await server.until(lambda: complete(server))
        await change(server, paused=True, image="host:2")
        await server.until(lambda: reason(server) == "DeploymentPaused")
        await change(server, replicas=5)
        await server.until(lambda: len(pods(server)) == 5)
        assert len(sets(server)) == 1
        await change(server, paused=False)
        await server.until(lambda: complete(server) and reason(server) == "NewReplicaSetAvailable")
    assert sizes(server) == [0, 5]


async def test_a_rollout_without_progress_fails_when_its_deadline_has_passed(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    server.add(make.deployment(replicas=1), defaults=True)
    async with running(server, *BOTH, clock=clock):
        await clock.advance(590)
        assert reason(server) == "ReplicaSetUpdated"
        await clock.advance(20)
        assert reason(server) == "ProgressDeadlineExceeded"
        message = web(server).status.conditions[-1].message
        assert message == f'ReplicaSet "{sets(server)[0].metadata.name}" has timed out progressing.'
        run_all(server)
        await clock.advance(2)
        assert reason(server) == "NewReplicaSetAvailable"


async def test_the_history_keeps_as_many_old_replica_sets_as_it_may(running: Run) -> None:
    server = ApiServerInMemory()
    deployment = make.deployment(replicas=1)
    deployment.spec.revisionHistoryLimit = 1
    server.add(deployment, defaults=True)
    async with running(server, *BOTH), kubelet(server):
        for number in (1, 2, 3, 4):
            await change(server, image=f"host:{number}")
            await server.until(
                lambda number=number: (
                    complete(server) and sets(server)[-1].spec.template.spec.containers[0].image == f"host:{number}"
                )
            )
        await server.until(lambda: [deployments.revision(rs) for rs in sets(server)] == [3, 4])


async def test_a_name_that_another_owner_has_is_not_taken(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.deployment(replicas=1), defaults=True)
    async with running(server, "deployment"):
        await server.until(lambda: len(sets(server)) == 1)
    first = sets(server)[0]
    server.remove(REPLICA_SETS, f"default/{first.metadata.name}")
    stranger = make.replica_set(first.metadata.name, labels={"app": "stranger"})
    server.add(stranger, defaults=True)
    async with running(server, "deployment"):
        await server.until(lambda: len(sets(server)) == 2)
    assert web(server).status.collisionCount == 1
    assert len({rs.metadata.name for rs in sets(server)}) == 2


async def test_orphans_are_adopted_and_strays_released(running: Run) -> None:
    server = ApiServerInMemory()
    deployment = make.deployment(replicas=1)
    orphan, stray = make.replica_set("orphan", labels={"app": "web"}), make.replica_set("stray")
    stray.metadata.ownerReferences.append(make.controlled_by(deployment))
    orphan.metadata.labels["app"] = "web"
    server.add(deployment, orphan, stray, defaults=True)
    async with running(server, "deployment"):
        await server.until(lambda: len(server.objects(REPLICA_SETS)) == 3)
    owners = {rs.metadata.name: [ref.name for ref in rs.metadata.ownerReferences] for rs in sets(server)}
    assert owners["orphan"] == ["web"]
    assert owners["stray"] == []


async def test_a_creation_that_is_refused_is_told_in_the_conditions(running: Run) -> None:
    server = ApiServerInMemory()
    server.fail(errors.Forbidden("no room for it"), verb="create", resource="replicasets", times=2)
    server.add(make.deployment(replicas=1), defaults=True)
    async with running(server, "deployment"):
        await server.until(lambda: reason(server) == "ReplicaSetCreateError")
        await server.until(lambda: events(server, "ReplicaSetCreateError"))
        await server.until(lambda: reason(server) == "NewReplicaSetCreated")
    name = sets(server)[0].metadata.name
    told = f'Failed to create new replica set "{name}": no room for it'
    assert messages(events(server, "ReplicaSetCreateError")) == [told]


async def test_pods_that_cannot_be_made_are_told_in_the_deployment(running: Run) -> None:
    server = ApiServerInMemory()
    server.fail(errors.Forbidden("exceeded quota"), verb="create", resource="pods", times=3)
    server.add(make.deployment(replicas=1), defaults=True)
    async with running(server, *BOTH):
        await server.until(lambda: reason(server, "ReplicaFailure") == "FailedCreate")
        await server.until(lambda: reason(server, "ReplicaFailure") == "" and web(server).status.replicas == 1)


async def test_old_clients_roll_back_by_an_annotation(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.deployment(replicas=1), defaults=True)
    async with running(server, *BOTH), kubelet(server):
        await server.until(lambda: complete(server))
        await change(server, image="host:2")
        await server.until(lambda: complete(server) and len(sets(server)) == 2)
        deployment = web(server)
        deployment.metadata.annotations[deployments.ROLLBACK_TO] = "0"
        server.add(deployment)
        await server.until(lambda: deployments.ROLLBACK_TO not in web(server).metadata.annotations)
        await server.until(lambda: complete(server) and web(server).spec.template.spec.containers[0].image == "host:1")
        await server.until(lambda: events(server, "DeploymentRollback"))
    assert messages(events(server, "DeploymentRollback")) == ['Rolled back deployment "web" to revision 1']
