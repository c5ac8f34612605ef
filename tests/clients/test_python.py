"""Client libraries for Python, each doing what its README shows: read, write, watch, wait, logs."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.terminal import Terminal

# Libraries of other people leave connections to the garbage collector.
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NAMESPACE = "python"
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "", "namespace": NAMESPACE, "labels": {"made": "by-a-library"}},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "kubelab/sh:1", "command": ["sh", "-c", "echo hello; sleep 1000"]}],
    },
}


def pod(name: str) -> dict[str, Any]:
    return {**POD, "metadata": {**POD["metadata"], "name": name}}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}


@pytest.fixture(scope="module", autouse=True)
def namespace(lab: Terminal) -> Iterator[None]:
    lab.type(f"kctl create namespace {NAMESPACE}")
    yield
    lab.type(f"kctl delete namespace {NAMESPACE} --wait=false")


@pytest.fixture
def kubeconfig(lab: Terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    path = lab.environment["KUBECONFIG"]
    monkeypatch.setenv("KUBECONFIG", path)
    monkeypatch.setenv("HOME", lab.environment["HOME"])
    yield path
    gc.collect()  # here, where its warnings are no failure


def test_kubernetes(kubeconfig: str) -> None:
    """https://github.com/kubernetes-client/python"""
    kubernetes: Any = pytest.importorskip("kubernetes")
    client, watch = kubernetes.client, kubernetes.watch
    with kubernetes.config.new_client_from_config(kubeconfig) as api:
        core = client.CoreV1Api(api)
        assert {node.metadata.name for node in core.list_node().items} == {"cp-1", "node-1"}
        assert client.VersionApi(api).get_code().major == "1"
        made = core.create_namespaced_pod(NAMESPACE, pod("one"))
        seen = watch.Watch()
        for event in seen.stream(
            core.list_namespaced_pod,
            NAMESPACE,
            field_selector="metadata.name=one",
            resource_version=made.metadata.resource_version,
            timeout_seconds=90,
        ):
            statuses = event["object"].status.container_statuses
            if statuses and statuses[0].ready:
                seen.stop()
        assert core.read_namespaced_pod_status("one", NAMESPACE).status.phase == "Running"
        assert core.read_namespaced_pod_log("one", NAMESPACE) == "hello\n"
        core.create_namespaced_config_map(NAMESPACE, config_map("kubernetes", a="1"))
        core.patch_namespaced_config_map("kubernetes", NAMESPACE, {"data": {"a": None, "b": "2"}})
        assert core.read_namespaced_config_map("kubernetes", NAMESPACE).data == {"b": "2"}
        with pytest.raises(client.ApiException) as caught:
            core.read_namespaced_config_map("nothing", NAMESPACE)
        assert (caught.value.status, caught.value.reason) == (404, "Not Found")
        pages = core.list_namespace(limit=1)
        assert len(pages.items) == 1
        assert pages.metadata._continue
        assert core.list_namespace(limit=500, _continue=pages.metadata._continue).items
        apps = client.AppsV1Api(api)
        apps.create_namespaced_deployment(NAMESPACE, deployment("kubernetes"))
        scaled = apps.patch_namespaced_deployment_scale("kubernetes", NAMESPACE, {"spec": {"replicas": 1}})
        assert scaled.spec.replicas == 1
        apps.delete_namespaced_deployment("kubernetes", NAMESPACE)
        core.delete_namespaced_pod("one", NAMESPACE, grace_period_seconds=0)
        dynamic(kubernetes, api)


def dynamic(kubernetes: Any, api: Any) -> None:
    """Its dynamic client, which asks discovery and applies on the server."""
    from kubernetes import dynamic as library

    found: Any = library.DynamicClient(api)
    maps = found.resources.get(api_version="v1", kind="ConfigMap")
    applied = maps.server_side_apply(
        body=config_map("dynamic", a="1"), namespace=NAMESPACE, name="dynamic", field_manager="tests"
    )
    assert applied.metadata.managedFields[0].manager == "tests"
    assert found.resources.get(api_version="apps/v1", kind="Deployment").name == "deployments"
    maps.delete(name="dynamic", namespace=NAMESPACE)
    del kubernetes


def deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": POD["spec"]},
        },
    }


async def test_kubernetes_asyncio(kubeconfig: str) -> None:
    """https://github.com/tomplus/kubernetes_asyncio"""
    library: Any = pytest.importorskip("kubernetes_asyncio")
    client, watch = library.client, library.watch
    await library.config.load_kube_config(config_file=kubeconfig)
    async with library.client.ApiClient() as api:
        core = client.CoreV1Api(api)
        made = await core.create_namespaced_config_map(NAMESPACE, config_map("asyncio", a="1"))
        await core.replace_namespaced_config_map(
            "asyncio", NAMESPACE, {**config_map("asyncio", a="2"), "metadata": {"name": "asyncio"}}
        )
        async with watch.Watch() as seen:
            async for event in seen.stream(
                core.list_namespaced_config_map,
                NAMESPACE,
                field_selector="metadata.name=asyncio",
                resource_version=made.metadata.resource_version,
                timeout_seconds=60,
            ):
                assert (event["type"], event["object"].data) == ("MODIFIED", {"a": "2"})
                break
        await core.delete_namespaced_config_map("asyncio", NAMESPACE)
        with pytest.raises(client.ApiException) as caught:
            await core.read_namespaced_config_map("asyncio", NAMESPACE)
        assert caught.value.status == 404


async def test_kr8s(kubeconfig: str) -> None:
    """https://docs.kr8s.org"""
    kr8s: Any = pytest.importorskip("kr8s")
    from kr8s import asyncio as library
    from kr8s.asyncio import objects

    api: Any = await library.api(kubeconfig=kubeconfig, namespace=NAMESPACE)
    assert (await api.version())["major"] == "1"
    assert {node.name async for node in api.get("nodes")} == {"cp-1", "node-1"}
    made: Any = await objects.Pod(pod("kr8s"), api=api)
    await made.create()
    await made.wait("condition=Ready", timeout=90)
    assert [line async for line in made.logs()] == ["hello"]
    await made.label({"more": "yes"})
    found = [one.name async for one in api.get("pods", label_selector={"more": "yes"})]
    assert found == ["kr8s"]
    await made.delete()
    await made.wait("delete", timeout=60)
    assert not await made.exists()
    with pytest.raises(kr8s.NotFoundError):
        await objects.Pod.get("kr8s", namespace=NAMESPACE, api=api)


async def test_lightkube(kubeconfig: str) -> None:
    """https://lightkube.readthedocs.io"""
    lightkube: Any = pytest.importorskip("lightkube")
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import ConfigMap, Node

    config = lightkube.KubeConfig.from_file(kubeconfig)
    client: Any = lightkube.AsyncClient(config=config, namespace=NAMESPACE, field_manager="lightkube")
    assert {node.metadata.name async for node in client.list(Node)} == {"cp-1", "node-1"}
    await client.create(ConfigMap(metadata=ObjectMeta(name="lightkube"), data={"a": "1"}))
    applied = await client.apply(
        ConfigMap(
            apiVersion="v1",
            kind="ConfigMap",
            metadata=ObjectMeta(name="lightkube", namespace=NAMESPACE),
            data={"b": "2"},
        )
    )
    assert applied.data == {"a": "1", "b": "2"}

    async def watched() -> dict[str, str]:
        async for _, found in client.watch(ConfigMap, fields={"metadata.name": "lightkube"}):
            if "c" in found.data:
                return found.data
        raise AssertionError("the watch has ended")

    async with asyncio.timeout(60):
        watching = asyncio.ensure_future(watched())
        await client.patch(ConfigMap, "lightkube", {"data": {"c": "3"}})
        assert await watching == {"a": "1", "b": "2", "c": "3"}
    await client.create(Deployment.from_dict(deployment("lightkube")))
    scale = await client.get(Deployment.Scale, "lightkube")
    assert (scale.spec.replicas, scale.status.replicas) == (None, 0)  # JSON leaves out the zero that is asked for
    scaled = await client.patch(Deployment.Scale, "lightkube", {"spec": {"replicas": 1}})
    assert scaled.spec.replicas == 1
    await client.delete(Deployment, "lightkube")
    await client.delete(ConfigMap, "lightkube")
    with pytest.raises(lightkube.ApiError) as caught:
        await client.get(ConfigMap, "lightkube")
    assert caught.value.status.code == 404
