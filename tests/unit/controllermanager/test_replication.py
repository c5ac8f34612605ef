"""The replication manager, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import (
    PODS,
    REPLICATION_CONTROLLERS,
)
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import events, pods, run_all, status


def touch(server: ApiServerInMemory, *, replicas: int | None = None) -> None:
    """Bring the controller's key, by a change that its own watch tells at once."""
    rc = server.get(REPLICATION_CONTROLLERS, "default/web")
    assert rc is not None
    rc.metadata.annotations["touched"] = str(server.revision)
    if replicas is not None:
        rc.spec.replicas = replicas
    server.add(rc)


async def test_pods_are_created_counted_replaced_and_scaled_down(running: Run) -> None:
    server = ApiServerInMemory()
    rc = make.replication_controller("web", replicas=20)
    server.add(rc)
    async with running(server, "replicationcontroller", elect=True):
        await server.until(lambda: status(server).replicas == 20)
        run_all(server)
        await server.until(lambda: status(server).availableReplicas == 20)
        assert len(pods(server)) == 20
        assert {p.metadata.ownerReferences[0].uid for p in pods(server)} == {rc.metadata.uid}
        server.remove(PODS, f"default/{pods(server)[0].metadata.name}")
        await server.until(lambda: len(pods(server)) == 20 and status(server).readyReplicas == 19)
        smaller = server.get(REPLICATION_CONTROLLERS, "default/web")
        assert smaller is not None
        smaller.spec.replicas = 3
        server.add(smaller)
        await server.until(lambda: status(server).replicas == 3)
    assert len(pods(server)) == 3
    assert len(server.calls_of("create", PODS)) == 21
    assert events(server, "SuccessfulCreate")
    assert any(e.message.startswith("Deleted pod: web-") for e in events(server, "SuccessfulDelete"))


async def test_orphans_are_adopted_and_strays_released(running: Run) -> None:
    server = ApiServerInMemory()
    rc = make.replication_controller("web", replicas=2)
    stray = make.pod("stray", owner=make.controlled_by(rc), labels={"app": "other"})
    server.add(rc, make.pod("orphan", labels={"app": "web"}), stray, defaults=True)
    async with running(server, "replicationcontroller"):
        await server.until(lambda: status(server).replicas == 2)
    orphan, released = server.get(PODS, "default/orphan"), server.get(PODS, "default/stray")
    assert orphan is not None
    assert released is not None
    assert [ref.uid for ref in orphan.metadata.ownerReferences] == [rc.metadata.uid]
    assert [*released.metadata.ownerReferences] == []


async def test_a_creation_that_is_refused_is_told_and_tried_again(running: Run) -> None:
    server = ApiServerInMemory()
    server.fail(errors.Forbidden("no room for it"), verb="create", resource="pods", times=2)
    server.add(make.replication_controller("web", replicas=4))
    async with running(server, "replicationcontroller"):
        await server.until(lambda: status(server).replicas == 4)
        await server.until(lambda: events(server, "FailedCreate"))
        await server.until(lambda: not status(server).conditions)
    assert len(pods(server)) == 4
    assert events(server, "FailedCreate")[0].message == "Error creating: no room for it"


async def test_nothing_is_created_or_deleted_twice_while_the_watch_is_slow(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    server.hold_watches(PODS)
    server.add(make.replication_controller("web", replicas=3))
    async with running(server, "replicationcontroller", clock=clock):
        await clock.settle()
        for _ in range(5):
            touch(server)
            await clock.advance(2)
        assert len(server.calls_of("create", PODS)) == 3
        server.release_watches(PODS)
        await clock.advance(2)
        run_all(server)
        await clock.advance(2)
        server.hold_watches(PODS)
        for _ in range(5):
            touch(server, replicas=1)
            await clock.advance(2)
        assert len(server.calls_of("delete", PODS)) == 2
        server.release_watches(PODS)
        await clock.advance(2)
    assert (len(server.calls_of("create", PODS)), len(server.calls_of("delete", PODS))) == (3, 2)
    assert status(server).readyReplicas == 1


async def test_pods_that_went_before_they_were_seen_are_replaced(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    server.hold_watches(PODS)
    server.add(make.replication_controller("web", replicas=3))
    async with running(server, "replicationcontroller", clock=clock):
        await clock.settle()
        for pod in pods(server):
            server.remove(PODS, f"default/{pod.metadata.name}")
        touch(server)
        await clock.settle()
        server.compact()
        server.break_watches(errors.Expired("too old resource version"))
        server.release_watches(PODS)  # what is listed now never had the three
        await clock.advance(3)
    assert len(pods(server)) == 3


async def test_nothing_is_adopted_for_a_controller_that_is_gone(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    server.add(make.replication_controller("web", replicas=1))
    async with running(server, "replicationcontroller", clock=clock):
        await clock.settle()
        (made,) = pods(server)
        server.hold_watches(REPLICATION_CONTROLLERS)  # nobody hears that it goes
        server.remove(REPLICATION_CONTROLLERS, "default/web")
        server.add(make.pod("orphan", labels={"app": "web"}))
        await clock.advance(2)
        made.metadata.annotations["touched"] = ""
        server.add(made)
        await clock.advance(2)
        orphan = server.get(PODS, "default/orphan")
    assert orphan is not None
    assert [*orphan.metadata.ownerReferences] == []


async def test_a_template_that_no_pod_can_be_made_of_is_tried_with_back_off(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    for n in range(500):  # each refusal names another pod
        told = f'pods "web-{n}" is forbidden: no PriorityClass with name nope was found'
        server.fail(errors.Forbidden(told), verb="create", resource="pods")
    server.add(make.replication_controller("web", replicas=1))
    async with running(server, "replicationcontroller", clock=clock):
        await clock.settle()
        await clock.advance(60)
    (condition,) = status(server).conditions
    assert (condition.reason, condition.status) == ("FailedCreate", "True")
    assert len(server.calls_of("update", REPLICATION_CONTROLLERS)) == 1
    assert 10 < len(server.calls_of("create", PODS)) < 25
