"""Patches and applies on a real etcd: what two servers do at the same time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.patch.types import PatchType
from kubelab.apimachinery.scheme import CONFIG_MAPS, REPLICATION_CONTROLLERS


def config(**data: str) -> core_pb2.ConfigMap:
    made = core_pb2.ConfigMap(data=data)
    made.metadata.name = "shared"
    return made


async def patch(client: Any, body: Any, kind: PatchType = PatchType.STRATEGIC, **options: Any) -> core_pb2.ConfigMap:
    return await client.patch(CONFIG_MAPS, "shared", json.dumps(body).encode(), kind, "default", **options)


async def test_patches_through_two_servers_lose_nothing(servers: Any) -> None:
    await servers.a.create(config(), "default")
    keys = [f"k{n}" for n in range(60)]
    clients = (servers.a, servers.b)
    await asyncio.gather(*(patch(clients[n % 2], {"data": {key: "x"}}) for n, key in enumerate(keys)))
    assert (await servers.a.get(CONFIG_MAPS, "shared", "default")).data.keys() == set(keys)


async def test_of_patches_that_test_first_each_value_is_taken_once(servers: Any) -> None:
    """A compare and swap by JSON patch: the winner of each round is alone."""
    await servers.a.create(config(n="0"), "default")

    async def take(client: Any, n: int) -> bool:
        steps = [
            {"op": "test", "path": "/data/n", "value": str(n)},
            {"op": "replace", "path": "/data/n", "value": str(n + 1)},
        ]
        try:
            await patch(client, steps, PatchType.JSON)
        except errors.Invalid:
            return False
        return True

    for n in range(5):
        taken = await asyncio.gather(*(take((servers.a, servers.b)[i % 2], n) for i in range(8)))
        assert sum(taken) == 1
    assert (await servers.b.get(CONFIG_MAPS, "shared", "default")).data["n"] == "5"


async def test_a_patch_with_a_version_does_not_go_over_another_change(servers: Any) -> None:
    made = await servers.a.create(config(n="0"), "default")
    await patch(servers.b, {"data": {"n": "1"}})
    body = {"metadata": {"resourceVersion": made.metadata.resourceVersion}, "data": {"n": "2"}}
    with pytest.raises(errors.Conflict, match="the object has been modified"):
        await patch(servers.a, body)


async def test_appliers_at_two_servers_create_once_and_all_own_their_fields(servers: Any) -> None:
    def applied(n: int) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {f"k{n}": "x"}}

    clients = (servers.a, servers.b)
    await asyncio.gather(
        *(patch(clients[n % 2], applied(n), PatchType.APPLY, field_manager=f"m{n}") for n in range(16))
    )
    got = await servers.a.get(CONFIG_MAPS, "shared", "default")
    assert len(got.data) == len(got.metadata.managedFields) == 16


async def test_scales_at_the_same_time_are_all_done(servers: Any) -> None:
    rc = core_pb2.ReplicationController()
    rc.metadata.name, rc.spec.replicas = "web", 1
    rc.spec.selector["app"] = rc.spec.template.metadata.labels["app"] = "web"
    rc.spec.template.spec.containers.add(name="main", image="host")
    await servers.a.create(rc, "default")
    bodies = [json.dumps({"spec": {"replicas": n}}).encode() for n in range(2, 10)]
    done = await asyncio.gather(
        *(
            (servers.a, servers.b)[n % 2].patch_scale(REPLICATION_CONTROLLERS, "web", body, PatchType.MERGE, "default")
            for n, body in enumerate(bodies)
        )
    )
    assert sorted(one.spec.replicas for one in done) == list(range(2, 10))


async def test_dry_runs_leave_no_trace_in_etcd(servers: Any) -> None:
    await servers.a.create(config(n="0"), "default")
    before = await servers.a.list(CONFIG_MAPS, "default")
    await patch(servers.b, {"data": {"n": "1"}}, dry_run=True)
    other = config()
    other.metadata.name = "other"
    await servers.a.create(other, "default", dry_run=True)
    await servers.b.delete(CONFIG_MAPS, "shared", "default", dry_run=True)
    after = await servers.a.list(CONFIG_MAPS, "default")
    assert list(after.items) == list(before.items)
    assert after.resource_version == before.resource_version
