"""The garbage collector, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from kubelab.apimachinery.scheme import (
    PODS,
    REPLICATION_CONTROLLERS,
)
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import events, pods


async def test_pods_go_with_their_controller_in_the_background(running: Run) -> None:
    server = ApiServerInMemory()
    rc = make.replication_controller("web")
    server.add(rc, *(make.pod(f"p{n}", owner=make.controlled_by(rc), node="n") for n in range(3)), make.pod("free"))
    async with running(server, "garbagecollector"):
        async with server.client() as client:
            await client.delete(REPLICATION_CONTROLLERS, "web", "default", propagation_policy="Background")
        await server.until(lambda: len(pods(server, leaving=True)) == 3)
    assert [p.metadata.name for p in pods(server)] == ["free"]


async def test_what_lost_its_owner_while_nobody_watched_is_found_but_only_after_asking(running: Run) -> None:
    server = ApiServerInMemory()
    gone = make.replication_controller("gone")
    server.add(make.pod("p", owner=make.controlled_by(gone)))
    async with running(server, "garbagecollector"):
        await server.until(lambda: not pods(server))
    assert [c.name for c in server.calls_of("get", REPLICATION_CONTROLLERS)] == ["gone"]


async def test_foreground_waits_for_the_dependents(running: Run) -> None:
    server = ApiServerInMemory()
    rc = make.replication_controller("web")
    server.add(rc, make.pod("p", owner=make.controlled_by(rc), node="n"))
    async with running(server, "garbagecollector"):
        async with server.client() as client:
            await client.delete(REPLICATION_CONTROLLERS, "web", "default", propagation_policy="Foreground")
        await server.until(lambda: pods(server, leaving=True))
        assert server.get(REPLICATION_CONTROLLERS, "default/web") is not None
        server.remove(PODS, "default/p")
        await server.until(lambda: server.get(REPLICATION_CONTROLLERS, "default/web") is None)


async def test_an_owner_of_another_namespace_is_none_and_that_is_told(running: Run) -> None:
    server = ApiServerInMemory()
    rc = make.replication_controller("web")
    server.add(make.namespace("other"), rc, make.pod("p", namespace="other", owner=make.controlled_by(rc)))
    server.add(make.pod("mine", owner=make.controlled_by(rc)))
    async with running(server, "garbagecollector"):
        await server.until(lambda: server.get(PODS, "other/p") is None)
        await server.until(lambda: events(server, "OwnerRefInvalidNamespace"))
    (told,) = events(server, "OwnerRefInvalidNamespace")
    assert (told.type, told.involvedObject.name, told.source.component) == (
        "Warning",
        "p",
        "garbage-collector-controller",
    )
    assert told.message == (
        "ownerRef [v1/ReplicationController, namespace: other, name: web, uid: uid-of-web] "
        'does not exist in namespace "other"'
    )
    assert server.get(PODS, "default/mine") is not None


async def test_an_owner_of_another_name_is_none(running: Run) -> None:
    server = ApiServerInMemory()
    rc = make.replication_controller("web")
    wrong = make.controlled_by(rc)
    wrong.name = "no-such"
    server.add(rc, make.pod("p", owner=wrong), make.pod("mine", owner=make.controlled_by(rc)))
    async with running(server, "garbagecollector"):
        await server.until(lambda: server.get(PODS, "default/p") is None)
    assert [p.metadata.name for p in pods(server)] == ["mine"]


async def test_two_that_own_and_block_each_other_go_in_foreground(running: Run) -> None:
    server = ApiServerInMemory()
    one, other = make.replication_controller("one"), make.replication_controller("other")
    one.metadata.ownerReferences.append(make.controlled_by(other))
    other.metadata.ownerReferences.append(make.controlled_by(one))
    server.add(one, other)
    async with running(server, "garbagecollector"):
        async with server.client() as client:
            await client.delete(REPLICATION_CONTROLLERS, "one", "default", propagation_policy="Foreground")
        await server.until(lambda: not server.objects(REPLICATION_CONTROLLERS))


async def test_orphans_are_let_live(running: Run) -> None:
    server = ApiServerInMemory()
    rc = make.replication_controller("web")
    server.add(rc, make.pod("p", owner=make.controlled_by(rc)), defaults=True)
    async with running(server, "garbagecollector"):
        async with server.client() as client:
            await client.delete(REPLICATION_CONTROLLERS, "web", "default", propagation_policy="Orphan")
        await server.until(lambda: server.get(REPLICATION_CONTROLLERS, "default/web") is None)
        await server.until(lambda: not pods(server)[0].metadata.ownerReferences)
    assert pods(server, leaving=True) == []
