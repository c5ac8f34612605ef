"""Admission webhooks: an api-server whose store is in memory, and webhooks behind real TLS on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.patch.types import PatchType
from kubelab.client.client import Client
from kubelab.rpc import warnings
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.pki import TestAuthority
from tests.support.webhooks import Answer, WebhookServer, allow, deny, patch, webhook_server

RULES = [
    {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]},
]
MUTATING, VALIDATING = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def hooks(ca: TestAuthority) -> AsyncIterator[WebhookServer]:
    async with webhook_server(ca) as server:
        yield server


@pytest.fixture
async def server() -> ApiServerInMemory:
    return ApiServerInMemory()


@pytest.fixture
def client(server: ApiServerInMemory) -> Client:
    return server.client()


async def register(client: Client, kind: str, hooks: WebhookServer, *paths: str, **more: Any) -> None:
    """Make a configuration with a webhook for each path; ``more`` are fields of all of them."""
    webhooks = [
        {
            "name": f"{path.strip('/')}.example.com",
            "clientConfig": {"url": hooks.url(path), "caBundle": _base64(hooks.ca)},
            "rules": RULES,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **more,
        }
        for path in paths
    ]
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": paths[0].strip("/")},
        "webhooks": webhooks,
    }
    await client.create(decode(json.dumps(body), "test")[0].obj)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def settings(name: str = "a", **data: str) -> core_pb2.ConfigMap:
    obj = core_pb2.ConfigMap(data=data or {"x": "one"})
    obj.metadata.name, obj.metadata.namespace = name, "default"
    return obj


async def test_what_a_webhook_is_asked(client: Client, hooks: WebhookServer) -> None:
    await register(client, VALIDATING, hooks, "/check")
    created = await client.create(settings(), field_manager="tester")
    updated = settings(x="two")
    updated.metadata.resourceVersion = created.metadata.resourceVersion
    await client.update(updated)
    await client.patch(scheme.CONFIG_MAPS, "a", b'{"data": {"y": "three"}}', PatchType.MERGE, "default")
    await client.delete(scheme.CONFIG_MAPS, "a", "default")
    asked = [request for _, request in hooks.asked]
    assert [request["operation"] for request in asked] == ["CREATE", "UPDATE", "UPDATE", "DELETE"]
    create, update, patched, delete = asked
    assert create["kind"] == create["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert create["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (create["name"], create["namespace"], create["dryRun"]) == ("a", "default", False)
    assert create["userInfo"]["username"] == "kubernetes-admin"
    assert create["options"]["kind"] == "CreateOptions"
    assert create["options"]["fieldManager"] == "tester"
    assert create["object"]["data"] == {"x": "one"}
    assert create["oldObject"] is None
    assert update["object"]["data"] == {"x": "two"}
    assert update["oldObject"]["data"] == {"x": "one"}
    assert update["oldObject"]["metadata"]["resourceVersion"] == created.metadata.resourceVersion
    assert patched["object"]["data"] == {"x": "two", "y": "three"}
    assert patched["options"]["kind"] == "PatchOptions"
    assert delete["object"] is None
    assert delete["oldObject"]["data"] == {"x": "two", "y": "three"}


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        ({}, errors.BadRequest, "denied the request without explanation"),
        ({"message": "no such name"}, errors.BadRequest, "denied the request: no such name"),
        ({"code": 403, "message": "not you"}, errors.Forbidden, "denied the request: not you"),
        ({"code": 200, "reason": "Conflict"}, errors.Conflict, "denied the request: Conflict"),
        ({"code": 422, "message": "x"}, errors.Invalid, "denied the request: x"),
    ],
)
@pytest.mark.parametrize("kind_of_webhook", [MUTATING, VALIDATING])
async def test_a_refusal(
    server: ApiServerInMemory,
    client: Client,
    hooks: WebhookServer,
    status: dict[str, Any],
    kind: type[errors.ApiError],
    message: str,
    kind_of_webhook: str,
) -> None:
    hooks.answers["/check"] = lambda request: deny(request, **status)
    await register(client, kind_of_webhook, hooks, "/check")
    with pytest.raises(kind) as refused:
        await client.create(settings())
    assert refused.value.message == f'admission webhook "check.example.com" {message}'
    assert server.get(scheme.CONFIG_MAPS, "default/a") is None


async def test_objects_are_changed_before_they_are_validated(client: Client, hooks: WebhookServer) -> None:
    hooks.answers["/first"] = lambda r: patch(r, {"op": "add", "path": "/data/first", "value": "1"})
    hooks.answers["/second"] = lambda r: patch(r, {"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}})
    await register(client, MUTATING, hooks, "/first", "/second")
    await register(client, VALIDATING, hooks, "/check")
    created = await client.create(settings())
    assert dict(created.data) == {"x": "one", "first": "1"}
    assert created.metadata.labels["seen"] == "yes"
    assert hooks.paths() == ["/first", "/second", "/check"]
    assert hooks.asked[1][1]["object"]["data"] == {"x": "one", "first": "1"}
    assert hooks.asked[2][1]["object"]["metadata"]["labels"] == {"seen": "yes"}
    assert hooks.asked[2][1]["object"]["metadata"]["uid"]


async def test_patches_of_updates_and_applies(client: Client, hooks: WebhookServer) -> None:
    hooks.answers["/mark"] = lambda r: (
        patch(r, {"op": "add", "path": "/data/marked", "value": r["operation"]}) if r["object"] else allow(r)
    )
    await register(client, MUTATING, hooks, "/mark")
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "one"}}

    async def apply() -> core_pb2.ConfigMap:
        data = json.dumps(applied).encode()
        return await client.patch(scheme.CONFIG_MAPS, "a", data, PatchType.APPLY, "default", field_manager="m")

    assert dict((await apply()).data) == {"x": "one", "marked": "CREATE"}
    applied["data"] = {"x": "two"}
    assert dict((await apply()).data) == {"x": "two", "marked": "UPDATE"}
    replaced = settings(x="three")
    assert dict((await client.update(replaced)).data) == {"x": "three", "marked": "UPDATE"}


async def test_an_object_that_moves_while_webhooks_look(client: Client, hooks: WebhookServer) -> None:
    """What is stored is always what the webhooks have seen."""
    await client.create(settings(n="0"))
    await register(client, VALIDATING, hooks, "/check")

    async def change(number: int) -> None:
        data = json.dumps({"data": {f"key-{number}": "x"}}).encode()
        await client.patch(scheme.CONFIG_MAPS, "a", data, PatchType.MERGE, "default")

    await asyncio.gather(*(change(number) for number in range(3)))
    stored = await client.get(scheme.CONFIG_MAPS, "a", "default")
    assert sorted(stored.data) == ["key-0", "key-1", "key-2", "n"]
    assert dict(stored.data) in [request["object"]["data"] for _, request in hooks.asked]


async def test_reinvocation(client: Client, hooks: WebhookServer) -> None:
    hooks.answers["/second"] = lambda r: patch(r, {"op": "add", "path": "/data/second", "value": "2"})
    await register(client, MUTATING, hooks, "/first", reinvocationPolicy="IfNeeded")
    await register(client, MUTATING, hooks, "/second", "/third")
    await client.create(settings())
    assert hooks.paths() == ["/first", "/second", "/third", "/first"]
    assert hooks.asked[-1][1]["object"]["data"] == {"x": "one", "second": "2"}


async def test_selectors(server: ApiServerInMemory, client: Client, hooks: WebhookServer) -> None:
    checked = core_pb2.Namespace()
    checked.metadata.name = "checked"
    checked.metadata.labels["check"] = "yes"
    await client.create(checked)
    await register(
        client,
        VALIDATING,
        hooks,
        "/check",
        namespaceSelector={"matchLabels": {"check": "yes"}},
        objectSelector={"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
    )
    await client.create(settings())
    assert not hooks.asked
    skipped = settings("skipped")
    skipped.metadata.namespace = "checked"
    skipped.metadata.labels["skip"] = "1"
    await client.create(skipped)
    assert not hooks.asked
    seen = settings("seen")
    seen.metadata.namespace = "checked"
    await client.create(seen)
    assert len(hooks.asked) == 1
    changed = skipped
    del changed.metadata.labels["skip"]
    await client.update(changed)  # the new object is selected
    assert len(hooks.asked) == 2


async def test_dry_run(client: Client, hooks: WebhookServer) -> None:
    await register(client, VALIDATING, hooks, "/pure")
    await client.create(settings(), dry_run=True)
    assert hooks.asked[0][1]["dryRun"] is True
    body = pb.ValidatingWebhookConfiguration()
    body.metadata.name = "impure"
    stored = await client.get(scheme.VALIDATING_WEBHOOK_CONFIGURATIONS, "pure")
    body.webhooks.add().CopyFrom(stored.webhooks[0])
    body.webhooks[0].sideEffects = "Some"
    with pytest.raises(errors.Invalid) as refused:
        await client.create(body)
    assert 'Unsupported value: "Some"' in refused.value.message


async def test_warnings_reach_the_client(server: ApiServerInMemory, client: Client, hooks: WebhookServer) -> None:
    hooks.answers["/check"] = lambda r: allow(r, warnings=["mind the gap"])
    await register(client, VALIDATING, hooks, "/check")
    heard: list[str] = []
    with warnings.listening(heard.append):
        await client.create(settings())
    assert "mind the gap" in heard


FAILURES: list[tuple[Answer, str]] = [
    (lambda r: web.Response(status=503), "the server answered 503 Service Unavailable"),
    (lambda r: web.Response(text="no json"), "Expecting value"),
    (lambda r: {**allow(r), "uid": "other"}, "expected response.uid="),
    (lambda r: None, "webhook response was absent"),
    (lambda r: allow(r, patch="W10="), "webhook returned response.patch but not response.patchType"),
    (lambda r: web.json_response({"kind": "Pod", "apiVersion": "v1"}), "expected webhook response of "),
]


@pytest.mark.parametrize(("answer", "why"), FAILURES)
async def test_a_webhook_that_fails(client: Client, hooks: WebhookServer, answer: Answer, why: str) -> None:
    hooks.answers["/check"] = answer
    await register(client, MUTATING, hooks, "/check")
    with pytest.raises(errors.InternalError) as failed:
        await client.create(settings())
    assert failed.value.message.startswith('Internal error occurred: failed calling webhook "check.example.com": ')
    assert why in failed.value.message
    configuration = await client.get(scheme.MUTATING_WEBHOOK_CONFIGURATIONS, "check")
    configuration.webhooks[0].failurePolicy = "Ignore"
    await client.update(configuration)  # no webhook is asked about its own configuration
    assert (await client.create(settings())).data["x"] == "one"


async def test_a_webhook_that_is_not_there(client: Client, hooks: WebhookServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    hooks.port = port
    await register(client, VALIDATING, hooks, "/check")
    with pytest.raises(errors.InternalError) as failed:
        await client.create(settings())
    assert f'failed to call webhook: Post "https://127.0.0.1:{port}/check?timeout=10s": ' in failed.value.message


async def test_a_webhook_that_another_authority_vouches_for(
    client: Client, hooks: WebhookServer, tmp_path: Path
) -> None:
    hooks.ca = TestAuthority(tmp_path).ca.read_bytes()
    await register(client, VALIDATING, hooks, "/check")
    with pytest.raises(errors.InternalError) as failed:
        await client.create(settings())
    assert "certificate" in failed.value.message
    assert not hooks.asked


async def test_a_webhook_that_takes_too_long(client: Client, ca: TestAuthority) -> None:
    """A connection that is accepted and never answered: not even TLS begins."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hooks = WebhookServer(ca.ca.read_bytes(), silent.getsockname()[1])
        await register(client, VALIDATING, hooks, "/check", timeoutSeconds=1)
        with pytest.raises(errors.InternalError) as failed:
            await client.create(settings())
    assert failed.value.message.endswith('check?timeout=1s": context deadline exceeded')


async def test_subresources(server: ApiServerInMemory, client: Client, hooks: WebhookServer) -> None:
    server.add(make.deployment(), defaults=True)
    rules = [{"operations": ["UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["*/scale"]}]
    hooks.answers["/check"] = lambda r: allow(r) if r["object"]["spec"]["replicas"] < 5 else deny(r, message="too many")
    await register(client, VALIDATING, hooks, "/check", rules=rules)
    scale = b'{"spec": {"replicas": %d}}'
    resource, name = scheme.DEPLOYMENTS, make.deployment().metadata.name
    assert (await client.patch_scale(resource, name, scale % 4, PatchType.MERGE, "default")).spec.replicas == 4
    with pytest.raises(errors.BadRequest, match="too many"):
        await client.patch_scale(resource, name, scale % 6, PatchType.MERGE, "default")
    assert hooks.asked[0][1]["subResource"] == "scale"
    assert hooks.asked[0][1]["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


async def test_a_collection_is_reviewed_object_by_object(client: Client, hooks: WebhookServer) -> None:
    for name in ("a", "b"):
        await client.create(settings(name))
    hooks.answers["/check"] = lambda r: deny(r, message="kept") if r["name"] == "b" else allow(r)
    await register(client, VALIDATING, hooks, "/check")
    with pytest.raises(errors.BadRequest, match="kept"):
        await client.delete_collection(scheme.CONFIG_MAPS, "default")
    left = await client.list(scheme.CONFIG_MAPS, "default")
    assert [one.metadata.name for one in left.items if one.metadata.name in ("a", "b")] == ["b"]


async def test_match_conditions(client: Client, hooks: WebhookServer) -> None:
    conditions = [
        {"name": "not-free", "expression": "object == null || object.metadata.name != 'free'"},
        {"name": "writes", "expression": "request.operation != 'DELETE'"},
        {"name": "one", "expression": "object.data.x == 'one'"},
    ]
    await register(client, MUTATING, hooks, "/change", matchConditions=conditions)
    await register(client, VALIDATING, hooks, "/check", matchConditions=conditions[:2])
    await client.create(settings("free", y="1"))
    assert not hooks.asked
    await client.create(settings())
    assert hooks.paths() == ["/change", "/check"]
    await client.delete(scheme.CONFIG_MAPS, "a", "default")
    assert hooks.paths() == ["/change", "/check"]
    with pytest.raises(errors.Forbidden) as refused:
        await client.create(settings("b", y="1"))
    why = "expression 'object.data.x == 'one'' resulted in error: no such key: x"
    assert refused.value.message == f'configmaps "b" is forbidden: {why}'
    configuration = await client.get(scheme.MUTATING_WEBHOOK_CONFIGURATIONS, "change")
    configuration.webhooks[0].failurePolicy = "Ignore"
    await client.update(configuration)
    await client.create(settings("b", y="1"))
    assert hooks.paths() == ["/change", "/check", "/check"]


@pytest.mark.parametrize("policy", ["Equivalent", "Exact"])
async def test_another_version_of_the_kind(client: Client, hooks: WebhookServer, policy: str) -> None:
    """A webhook for autoscaling/v1 sees, and changes, what is written as autoscaling/v2."""
    rules = [{"operations": ["*"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["*"]}]
    change = {"op": "add", "path": "/spec/targetCPUUtilizationPercentage", "value": 40}
    hooks.answers["/change"] = lambda r: patch(r, change)
    await register(client, MUTATING, hooks, "/change", rules=rules, matchPolicy=policy)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    body = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 3},
    }
    created: Any = await client.create(decode(json.dumps(body), "test")[0].obj)
    if policy == "Exact":
        assert not hooks.asked
        return
    [(_, asked)] = hooks.asked
    assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v1", "v2")
    assert (asked["resource"]["version"], asked["requestResource"]["version"]) == ("v1", "v2")
    assert asked["object"]["apiVersion"] == "autoscaling/v1"
    assert created.spec.metrics[0].resource.target.averageUtilization == 40
