"""A leader's write that lies in a frozen api-server while another one is elected: it comes too late."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable
from dataclasses import replace

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import Conflict
from kubelab.apimachinery.scheme import CONFIG_MAPS, LEASES
from kubelab.rpc.fencing import Fence
from tests.integration.failover.conftest import Plane

OLD = Fence("kube-system", "kube-controller-manager", "controller-manager@cp-1", 0)
NEW = Fence("kube-system", "kube-controller-manager", "controller-manager@cp-2", 1)


def config_map(name: str) -> core_pb2.ConfigMap:
    made = core_pb2.ConfigMap()
    made.metadata.name = name
    return made


def lease(fence: Fence) -> coordination_pb2.Lease:
    made = coordination_pb2.Lease()
    made.metadata.namespace, made.metadata.name = fence.namespace, fence.name
    made.spec.holderIdentity, made.spec.leaseTransitions = fence.holder, fence.transitions
    made.spec.leaseDurationSeconds = 15
    return made


async def test_a_write_in_a_frozen_server_comes_too_late(plane: Plane) -> None:
    """Beside it lies a write that nobody fences: it is carried out, so the server did find both."""
    frozen, running = plane.servers
    client, other = await plane.client(frozen), await plane.client(running)
    made = await other.create(lease(OLD))
    fence = replace(OLD, uid=made.metadata.uid)
    leader = client.fenced(lambda: fence)
    await leader.create(config_map("in-time"), "default")
    frozen.signal(signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        late = group.create_task(outcome(leader.create(config_map("too-late"), "default")), name="late")
        anybody = group.create_task(outcome(client.create(config_map("anybody"), "default")), name="anybody")
        held = await other.get(LEASES, NEW.name, NEW.namespace)
        held.spec.holderIdentity, held.spec.leaseTransitions = NEW.holder, NEW.transitions
        elected = int((await other.update(held)).metadata.resourceVersion)
        assert not late.done()
        frozen.signal(signal.SIGCONT)
    refused, done = late.result(), anybody.result()
    assert isinstance(refused, Conflict)
    assert "controller-manager@cp-1 does not lead any more, controller-manager@cp-2 does" in refused.message
    assert isinstance(done, core_pb2.ConfigMap)
    assert int(done.metadata.resourceVersion) > elected
    names = {found.metadata.name for found in (await other.list(CONFIG_MAPS, "default")).items}
    assert "too-late" not in names
    assert {"in-time", "anybody"} <= names


async def outcome(writing: Awaitable[core_pb2.ConfigMap]) -> core_pb2.ConfigMap | Conflict:
    try:
        return await writing
    except Conflict as err:
        return err
