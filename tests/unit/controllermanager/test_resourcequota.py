"""The resource quota controller, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

import asyncio
import random

from kubelab.api.core.v1 import limits_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import PODS, RESOURCE_QUOTAS
from kubelab.client.client import Client
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.unit.apiserver.test_limits_of_namespaces import pod, quota
from tests.unit.controllermanager.conftest import Run


def status(server: ApiServerInMemory) -> dict[str, str]:
    found = server.get(RESOURCE_QUOTAS, "default/q")
    assert found is not None
    return {
        name: f"{found.status.used[name].string}/{amount.string}"
        for name, amount in found.status.hard.items()
        if name in found.status.used
    }


async def test_what_is_there_is_counted(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(
        make.pod("a", requests={"cpu": "500m"}), make.pod("b", phase="Succeeded"), make.pod("c", namespace="other")
    )
    server.add(make.service("web"))
    server.add(
        quota({"pods": "5", "count/pods": "9", "requests.cpu": "2", "services": "3", "count/things.example.com": "1"})
    )
    counted = {"pods": "1/5", "count/pods": "2/9", "requests.cpu": "500m/2", "services": "1/3"}
    async with running(server, "resourcequota"):
        await server.until(lambda: status(server) == counted)
        server.remove(PODS, "default/a")
        await server.until(lambda: status(server)["pods"] == "0/5")
        async with server.client() as client:
            current = await client.get(RESOURCE_QUOTAS, "q", "default")
            current.spec.hard["pods"].string = "4"
            await client.update(current)
        await server.until(lambda: status(server)["pods"] == "0/4")


async def test_a_pod_that_ended_gives_its_place_back(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(quota({"pods": "1"}))
    async with running(server, "resourcequota"), server.client() as client:
        await server.until(lambda: status(server) == {"pods": "0/1"})
        made = await client.create(pod("one"), "default")
        assert status(server) == {"pods": "1/1"}
        made.status.phase = "Succeeded"
        await client.update_status(made)
        await server.until(lambda: status(server) == {"pods": "0/1"})
        await client.create(pod("two"), "default")


async def test_a_quota_is_never_exceeded(running: Run) -> None:
    """32 clients create and delete at random while the controller counts and the quota begins without any usage."""
    server, bound, chosen = ApiServerInMemory(), 5, random.Random(7)
    server.add(quota({"pods": str(bound)}))
    most = 0

    def there() -> int:
        return len([1 for one in server.objects(PODS) if one.metadata.namespace == "default"])

    async def work(client: Client, n: int) -> None:
        nonlocal most
        for step in range(12):
            name = f"p{n}-{step}"
            try:
                await client.create(pod(name), "default")
            except errors.Forbidden:
                await asyncio.sleep(0)
                continue
            most = max(most, there())
            for _ in range(chosen.randrange(5)):
                await asyncio.sleep(0)
            await client.delete(PODS, name, "default", grace_period_seconds=0)

    async with running(server, "resourcequota"), server.client() as client:
        await server.until(lambda: status(server) == {"pods": f"0/{bound}"})
        async with asyncio.TaskGroup() as group:
            for n in range(32):
                group.create_task(work(client, n))
        await server.until(lambda: there() == 0 and status(server) == {"pods": f"0/{bound}"})
    assert 0 < most <= bound


async def test_an_object_that_comes_while_nothing_is_counted_yet_is_not_missed(running: Run) -> None:
    server = ApiServerInMemory()
    fresh = limits_pb2.ResourceQuota(metadata=meta_pb2.ObjectMeta(name="q", namespace="default", uid="u"))
    fresh.spec.hard["pods"].string = "3"
    server.add(fresh)
    before = server.get(RESOURCE_QUOTAS, "default/q")
    assert before is not None
    async with server.client() as client:
        await client.create(pod("early"), "default")
        after = server.get(RESOURCE_QUOTAS, "default/q")
        assert after is not None
        assert after.metadata.resourceVersion != before.metadata.resourceVersion  # a count that began before is refused
    async with running(server, "resourcequota"):
        await server.until(lambda: status(server) == {"pods": "1/3"})
