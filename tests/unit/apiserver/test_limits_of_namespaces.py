"""Limit ranges and quotas of a namespace, at an api-server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from kubelab.api.core.v1 import core_pb2, limits_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.scheme import PODS, RESOURCE_QUOTAS, SERVICES
from kubelab.client.client import Client
from tests.support.apiserver import ApiServerInMemory


def pod(
    name: str, *, requests: Mapping[str, str] | None = None, limits: Mapping[str, str] | None = None
) -> core_pb2.Pod:
    made = core_pb2.Pod()
    made.metadata.name = name
    container = made.spec.containers.add(name="c", image="hello")
    for amounts, target in ((requests, container.resources.requests), (limits, container.resources.limits)):
        for resource, amount in (amounts or {}).items():
            target[resource].string = amount
    return made


def limit_range(items: str) -> limits_pb2.LimitRange:
    text = (
        f"apiVersion: v1\nkind: LimitRange\nmetadata: {{name: bounds, namespace: default}}\nspec: {{limits: {items}}}"
    )
    obj = decode(text, "test")[0].obj
    assert isinstance(obj, limits_pb2.LimitRange)
    return obj


def quota(hard: Mapping[str, str], used: Mapping[str, str] | None = None, *scopes: str) -> limits_pb2.ResourceQuota:
    """``used`` is what the status says; None: nothing was counted yet."""
    made = limits_pb2.ResourceQuota()
    made.metadata.name, made.metadata.namespace, made.metadata.uid = "q", "default", "u"
    made.spec.scopes.extend(scopes)
    for name, amount in hard.items():
        made.spec.hard[name].string = amount
        if used is not None:
            made.status.hard[name].string = amount
            made.status.used[name].string = used.get(name, "0")
    return made


def usage(server: ApiServerInMemory) -> dict[str, str]:
    found = server.get(RESOURCE_QUOTAS, "default/q")
    assert found is not None
    return {name: amount.string for name, amount in found.status.used.items()}


async def test_a_limit_range_completes_containers() -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        await client.create(
            limit_range("[{type: Container, default: {cpu: 500m, memory: 64Mi}, defaultRequest: {cpu: 100m}}]"),
            "default",
        )
        made = await client.create(pod("bare"), "default")
        resources = made.spec.containers[0].resources
        assert {k: v.string for k, v in resources.limits.items()} == {"cpu": "500m", "memory": "64Mi"}
        assert {k: v.string for k, v in resources.requests.items()} == {"cpu": "100m", "memory": "64Mi"}
        assert made.metadata.annotations["kubernetes.io/limit-ranger"] == (
            "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c"
        )
        assert made.status.qosClass == "Burstable"
        said = await client.create(pod("said", requests={"cpu": "1"}, limits={"cpu": "1", "memory": "1Gi"}), "default")
        assert "kubernetes.io/limit-ranger" not in said.metadata.annotations


@pytest.mark.parametrize(
    ("items", "requests", "limits", "why"),
    [
        ("[{type: Container, min: {cpu: 100m}}]", {"cpu": "100m"}, {}, ""),
        (
            "[{type: Container, min: {cpu: 100m}}]",
            {"cpu": "50m"},
            {},
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        ("[{type: Pod, min: {cpu: 100m}}]", {}, {}, "minimum cpu usage per Pod is 100m.  No request is specified"),
        (
            "[{type: Container, max: {cpu: 800m}}]",
            {},
            {"cpu": "900m"},
            "maximum cpu usage per Container is 800m, but limit is 900m",
        ),
        ("[{type: Pod, max: {memory: 1Gi}}]", {}, {}, "maximum memory usage per Pod is 1Gi.  No limit is specified"),
        (
            "[{type: Container, maxLimitRequestRatio: {cpu: 2}}]",
            {"cpu": "100m"},
            {"cpu": "300m"},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            "[{type: Container, min: {cpu: 100m}}, {type: Pod, max: {cpu: 1}}]",
            {"cpu": "50m"},
            {"cpu": "2"},
            "[minimum cpu usage per Container is 100m, but request is 50m, maximum cpu usage per Pod is 1, but limit "
            "is 2]",
        ),
    ],
)
async def test_a_limit_range_bounds_pods(
    items: str, requests: Mapping[str, str], limits: Mapping[str, str], why: str
) -> None:
    server = ApiServerInMemory()
    async with server.client() as client:
        await client.create(limit_range(items), "default")
        if not why:
            await client.create(pod("web", requests=requests, limits=limits), "default")
            return
        with pytest.raises(errors.Forbidden) as told:
            await client.create(pod("web", requests=requests, limits=limits), "default")
        assert told.value.message == f'pods "web" is forbidden: {why}'


@pytest.mark.parametrize(
    ("hard", "used", "requests", "why"),
    [
        (
            {"pods": "2"},
            {"pods": "2"},
            {},
            "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2",
        ),
        (
            {"pods": "2", "requests.cpu": "1", "requests.memory": "1Gi"},
            {"pods": "1", "requests.cpu": "600m", "requests.memory": "1Gi"},
            {"cpu": "500m", "memory": "1Mi"},
            "exceeded quota: q, requested: requests.cpu=500m,requests.memory=1Mi, used: requests.cpu=600m,"
            "requests.memory=1Gi, limited: requests.cpu=1,requests.memory=1Gi",
        ),
        (
            {"limits.cpu": "1", "memory": "1Gi"},
            {},
            {},
            "failed quota: q: must specify limits.cpu for: c; memory for: c",
        ),
        (
            {"count/pods": "0"},
            {},
            {},
            "exceeded quota: q, requested: count/pods=1, used: count/pods=0, limited: count/pods=0",
        ),
    ],
)
async def test_a_quota_refuses(
    hard: Mapping[str, str], used: Mapping[str, str], requests: Mapping[str, str], why: str
) -> None:
    server = ApiServerInMemory()
    server.add(quota(hard, used))
    async with server.client() as client:
        with pytest.raises(errors.Forbidden) as told:
            await client.create(pod("web", requests=requests), "default")
    assert told.value.message == f'pods "web" is forbidden: {why}'
    assert server.get(PODS, "default/web") is None


async def test_what_is_created_is_charged_in_the_same_write() -> None:
    server = ApiServerInMemory()
    server.add(quota({"pods": "5", "requests.cpu": "1", "services.nodeports": "3"}, {"requests.cpu": "250m"}))
    async with server.client() as client:
        await client.create(pod("web", requests={"cpu": "0.5"}), "default")
        assert usage(server) == {"pods": "1", "requests.cpu": "750m", "services.nodeports": "0"}
        service = core_pb2.Service(spec=core_pb2.ServiceSpec(ports=[core_pb2.ServicePort(port=80)]))
        service.metadata.name = "web"
        made = await client.create(service, "default")
        assert usage(server)["services.nodeports"] == "0"
        made.spec.type = "NodePort"
        await client.update(made)
        assert usage(server)["services.nodeports"] == "1"
        for n in range(4):
            made.spec.ports.add(name=f"p{n}", port=81 + n)
        made.spec.ports[0].name = "first"
        made.metadata.resourceVersion = ""
        with pytest.raises(errors.Forbidden, match=r"requested: services\.nodeports=4, used: services\.nodeports=1"):
            await client.update(made)
        assert len(server.get(SERVICES, "default/web").spec.ports) == 1  # pyright: ignore[reportOptionalMemberAccess]


async def test_a_quota_of_a_scope_counts_the_pods_of_that_scope() -> None:
    server = ApiServerInMemory()
    server.add(quota({"pods": "0"}, {}, "BestEffort"))
    async with server.client() as client:
        await client.create(pod("burstable", requests={"cpu": "1"}), "default")
        with pytest.raises(errors.Forbidden, match="exceeded quota: q"):
            await client.create(pod("best-effort"), "default")


async def test_a_dead_quota_holds_nothing_back() -> None:
    server = ApiServerInMemory()
    server.add(quota({"pods": "1"}, {}))
    async with server.client() as client:
        await client.create(pod("a"), "default")
        await client.delete(RESOURCE_QUOTAS, "q", "default")
        await client.create(pod("b"), "default")
        server.add(quota({"pods": "1"}, {}))
        await client.create(pod("c"), "default")
        with pytest.raises(errors.Forbidden):
            await client.create(pod("d"), "default")


async def test_two_creators_cannot_both_have_the_last_place() -> None:
    server = ApiServerInMemory()
    server.add(quota({"pods": "7"}, {}))

    async def create(client: Client, n: int) -> bool:
        try:
            await client.create(pod(f"p{n}"), "default")
        except errors.Forbidden:
            return False
        return True

    async with server.client() as client:
        created = await asyncio.gather(*(create(client, n) for n in range(32)))
    assert sum(created) == 7
    assert usage(server) == {"pods": "7"}
