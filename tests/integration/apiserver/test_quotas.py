"""Quotas on real etcd: two servers charge the same quota."""

from __future__ import annotations

import asyncio
from typing import Any

from kubelab.api.core.v1 import core_pb2, limits_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import PODS, RESOURCE_QUOTAS
from kubelab.client.client import Client


async def test_thirty_two_creators_at_two_servers_stay_within_a_quota(start: Any) -> None:
    servers = await start(2)
    quota = limits_pb2.ResourceQuota()
    quota.metadata.name = "q"
    quota.spec.hard["pods"].string = "20"
    quota = await servers.a.create(quota, "default")
    quota.status.hard["pods"].string = "20"
    quota.status.used["pods"].string = "0"
    await servers.a.update_status(quota)

    async def create(client: Client, n: int) -> int:
        created = 0
        for step in range(2):
            pod = core_pb2.Pod(spec=core_pb2.PodSpec(containers=[core_pb2.Container(name="c", image="hello")]))
            pod.metadata.name = f"p{n}-{step}"
            try:
                await client.create(pod, "default")
            except errors.Forbidden:
                continue
            created += 1
        return created

    created = await asyncio.gather(*(create(servers.a if n % 2 else servers.b, n) for n in range(32)))
    assert sum(created) == 20
    assert len((await servers.b.list(PODS, "default")).items) == 20
    assert (await servers.b.get(RESOURCE_QUOTAS, "q", "default")).status.used["pods"].string == "20"
