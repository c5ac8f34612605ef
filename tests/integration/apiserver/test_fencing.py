"""What a leader writes is written only while it leads: on two api-servers and a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import CONFIG_MAPS, LEASES, PODS
from kubelab.client.client import Client
from kubelab.rpc.fencing import Fence
from tests.integration.apiserver.conftest import ApiServers

OLD = Fence("kube-system", "kube-scheduler", "scheduler@cp-1", 0)
NEW = Fence("kube-system", "kube-scheduler", "scheduler@cp-2", 1)


def lease(fence: Fence) -> coordination_pb2.Lease:
    made = coordination_pb2.Lease()
    made.metadata.namespace, made.metadata.name = fence.namespace, fence.name
    made.spec.holderIdentity, made.spec.leaseTransitions = fence.holder, fence.transitions
    made.spec.leaseDurationSeconds = 15
    return made


async def led(client: Client, by: Fence) -> Fence:
    """Make the Lease; gives the fence of its first term."""
    made = await client.create(lease(by))
    return replace(by, uid=made.metadata.uid)


async def hand_over(client: Client, to: Fence) -> coordination_pb2.Lease:
    held = await client.get(LEASES, to.name, to.namespace)
    held.spec.holderIdentity, held.spec.leaseTransitions = to.holder, to.transitions
    return await client.update(held)


def settings(name: str, **data: str) -> core_pb2.ConfigMap:
    made = core_pb2.ConfigMap(data=data)
    made.metadata.namespace, made.metadata.name = "default", name
    return made


def pod(name: str) -> core_pb2.Pod:
    made = core_pb2.Pod()
    made.metadata.namespace, made.metadata.name = "default", name
    made.spec.containers.add(name="app", image="host")
    return made


def binding(name: str, node: str) -> core_pb2.Binding:
    made = core_pb2.Binding()
    made.metadata.namespace, made.metadata.name = "default", name
    made.target.kind, made.target.name = "Node", node
    return made


async def test_whoever_leads_writes_and_whoever_led_does_not(servers: ApiServers) -> None:
    fence = await led(servers.a, OLD)
    old, new = servers.a.fenced(lambda: fence), servers.b.fenced(lambda: replace(NEW, uid=fence.uid))
    await old.create(settings("before"))
    await hand_over(servers.b, NEW)
    with pytest.raises(errors.Conflict) as caught:
        await old.create(settings("after"))
    assert caught.value.message == (
        'Operation cannot be fulfilled on leases.coordination.k8s.io "kube-scheduler": '
        "scheduler@cp-1 does not lead any more, scheduler@cp-2 does"
    )
    await new.create(settings("by-the-new-one"))
    names = {found.metadata.name for found in (await servers.a.list(CONFIG_MAPS, "default")).items}
    assert {"before", "by-the-new-one"} <= names
    assert "after" not in names


Write = Callable[[Client], Awaitable[object]]


async def _create(client: Client) -> object:
    return await client.create(settings("new"))


async def _change(client: Client) -> object:
    found = await client.get(CONFIG_MAPS, "there", "default")
    found.data["changed"] = "yes"
    return await client.update(found)


async def _change_status(client: Client) -> object:
    found = await client.get(PODS, "there", "default")
    found.status.phase = "Running"
    return await client.update_status(found)


async def _bind(client: Client) -> object:
    return await client.bind(binding("there", "node-1"))


async def _delete(client: Client) -> object:
    return await client.delete(CONFIG_MAPS, "there", "default")


async def _delete_all(client: Client) -> object:
    return await client.delete_collection(CONFIG_MAPS, "default", label_selector="own=yes")


@pytest.mark.parametrize(
    "write",
    [_create, _change, _change_status, _bind, _delete, _delete_all],
    ids=["create", "update", "update status", "bind", "delete", "delete collection"],
)
async def test_every_kind_of_write_is_fenced(servers: ApiServers, write: Write) -> None:
    fence = await led(servers.a, OLD)
    made = settings("there")
    made.metadata.labels["own"] = "yes"
    await servers.a.create(made)
    await servers.a.create(pod("there"))
    await hand_over(servers.b, NEW)
    before = (await servers.b.list(CONFIG_MAPS, "default")).resource_version
    with pytest.raises(errors.Conflict):
        await write(servers.a.fenced(lambda: fence))
    assert (await servers.b.list(CONFIG_MAPS, "default")).resource_version == before  # nothing at all was written
    await write(servers.b.fenced(lambda: replace(NEW, uid=fence.uid)))


@pytest.mark.parametrize("what", ["given up", "deleted", "made again", "of another time"])
async def test_a_lease_that_nobody_holds_lets_nobody_write(servers: ApiServers, what: str) -> None:
    fence = await led(servers.a, OLD)
    if what == "given up":
        await hand_over(servers.b, Fence(OLD.namespace, OLD.name, "", 0))
    elif what == "deleted":
        await servers.b.delete(LEASES, OLD.name, OLD.namespace)
    elif what == "made again":  # by the same one, who counts its changes of hands anew
        await servers.b.delete(LEASES, OLD.name, OLD.namespace)
        await servers.b.create(lease(OLD))
    else:  # the same one leads again, but somebody else did in between
        await hand_over(servers.b, Fence(OLD.namespace, OLD.name, OLD.holder, 2))
    with pytest.raises(errors.Conflict):
        await servers.a.fenced(lambda: fence).create(settings("late"))


async def test_a_lease_that_is_made_again_can_be_led_by(servers: ApiServers) -> None:
    await servers.a.create(lease(OLD))
    await servers.b.delete(LEASES, OLD.name, OLD.namespace)
    fence = await led(servers.b, OLD)
    await servers.a.fenced(lambda: fence).create(settings("again"))


async def test_no_write_lands_after_a_take_over_whenever_it_was_sent(servers: ApiServers) -> None:
    """Writers at full speed through both servers, a take-over in the middle: revisions tell who came when."""
    fence = await led(servers.a, OLD)
    written: list[int] = []
    under_way, refused = asyncio.Event(), asyncio.Event()

    async def write(client: Client, n: int) -> None:
        fenced = client.fenced(lambda: fence)
        for i in range(10_000):
            try:
                written.append(int((await fenced.create(settings(f"w-{n}-{i}"))).metadata.resourceVersion))
            except errors.Conflict:
                refused.set()
                return
            if len(written) == 50:
                under_way.set()

    async with asyncio.TaskGroup() as group:
        for n in range(8):
            group.create_task(write(servers.a if n % 2 else servers.b, n))
        await under_way.wait()
        taken_over = int((await hand_over(servers.b, NEW)).metadata.resourceVersion)
    assert refused.is_set()
    assert max(written) < taken_over
    found = [int(item.metadata.resourceVersion) for item in (await servers.b.list(CONFIG_MAPS, "default")).items]
    assert not [revision for revision in found if revision > taken_over]


@pytest.mark.parametrize("text", ["", "kube-scheduler;a;1;u", "ns/name;;1;u", "ns/name;a;first;u", "ns/name;a;1"])
def test_a_fence_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(errors.BadRequest, match="expected NAMESPACE/LEASE;HOLDER;TRANSITIONS;UID"):
        Fence.parse(text)


def test_a_fence_is_read_as_it_was_written() -> None:
    fence = replace(OLD, uid="6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    assert Fence.parse(fence.text) == fence
    assert Fence.holder_in(fence.value) == OLD.holder
    assert Fence.parse(OLD.text) == OLD
    assert Fence.holder_in(OLD.value) == OLD.holder


async def test_heartbeats_have_no_fence(servers: ApiServers) -> None:
    held = Fence("kube-node-lease", "node-1", "node-1", 0)
    await servers.a.create(lease(held))
    page = await servers.apis[0].store.range("/kubelab/fences/", "/kubelab/fences0")
    assert [item.key for item in page.items] == []
