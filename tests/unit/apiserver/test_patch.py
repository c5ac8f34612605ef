"""The Patch verb: every type of patch through the endpoints of an api-server in memory, in upstream's words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.patch.types import PatchType
from kubelab.apimachinery.scheme import CONFIG_MAPS, PODS, REPLICATION_CONTROLLERS, SERVICES
from kubelab.client.client import Client
from kubelab.rpc import warnings
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory

JSON, MERGE, STRATEGIC = PatchType.JSON, PatchType.MERGE, PatchType.STRATEGIC


@pytest.fixture
async def server() -> ApiServerInMemory:
    return ApiServerInMemory()


@pytest.fixture
async def client(server: ApiServerInMemory) -> AsyncGenerator[Client]:
    async with server.client() as client:
        yield client


@pytest.fixture
async def pod(client: Client) -> core_pb2.Pod:
    return await client.create(make.pod("web", labels={"app": "web"}), "default")


async def patch(client: Client, body: Any, kind: PatchType = STRATEGIC, **options: Any) -> core_pb2.Pod:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.patch(PODS, "web", data, kind, "default", **options)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, [{"op": "add", "path": "/metadata/labels/tier", "value": "front"}]),
        (MERGE, {"metadata": {"labels": {"tier": "front"}}}),
        (STRATEGIC, {"metadata": {"labels": {"tier": "front"}}}),
    ],
)
async def test_each_type_adds_a_label(
    server: ApiServerInMemory, client: Client, pod: core_pb2.Pod, kind: PatchType, body: Any
) -> None:
    patched = await patch(client, body, kind)
    assert dict(patched.metadata.labels) == {"app": "web", "tier": "front"}
    assert patched.metadata.uid == pod.metadata.uid
    assert patched.metadata.resourceVersion != pod.metadata.resourceVersion
    assert patched.spec == pod.spec
    stored = server.get(PODS, "default/web")
    assert stored is not None
    assert stored.metadata.labels["tier"] == "front"


async def test_a_strategic_patch_merges_containers_by_name(client: Client, pod: core_pb2.Pod) -> None:
    patched = await patch(client, {"spec": {"containers": [{"name": "main", "image": "new"}]}})
    assert [(c.name, c.image) for c in patched.spec.containers] == [("main", "new")]
    assert patched.spec.containers[0].terminationMessagePath == pod.spec.containers[0].terminationMessagePath


async def test_a_merge_patch_replaces_a_list(client: Client, pod: core_pb2.Pod) -> None:
    with pytest.raises(errors.Invalid, match="pod updates may not change fields other than"):
        await patch(client, {"spec": {"containers": [{"name": "other", "image": "new"}]}}, MERGE)


async def test_a_patch_that_changes_nothing_writes_nothing(client: Client, pod: core_pb2.Pod) -> None:
    patched = await patch(client, {"metadata": {"labels": {"app": "web"}}})
    assert patched.metadata.resourceVersion == pod.metadata.resourceVersion


async def test_many_patches_at_once_all_succeed(client: Client, pod: core_pb2.Pod) -> None:
    """A conflict inside is not the client's business where its patch has no resourceVersion."""
    await asyncio.gather(*(patch(client, {"metadata": {"labels": {f"n{n}": "x"}}}) for n in range(20)))
    got = await client.get(PODS, "web", "default")
    assert {f"n{n}" for n in range(20)} <= got.metadata.labels.keys()


async def test_a_patch_with_an_old_version_conflicts(client: Client, pod: core_pb2.Pod) -> None:
    old = pod.metadata.resourceVersion
    await patch(client, {"metadata": {"labels": {"a": "b", "c": "d"}}})
    with pytest.raises(errors.Conflict, match="the object has been modified; please apply your changes"):
        await patch(client, {"metadata": {"resourceVersion": old, "labels": {"a": "c"}}})
    with pytest.raises(errors.Conflict, match="Precondition failed: UID in precondition: other"):
        await patch(client, {"metadata": {"uid": "other"}}, MERGE)


@pytest.mark.parametrize(
    ("kind", "body", "error", "message"),
    [
        (JSON, [{"op": "test", "path": "/metadata/labels/app", "value": "x"}], errors.Invalid, "our request due to an"),
        (JSON, [{"op": "remove", "path": "/spec/nothing"}], errors.Invalid, "the server rejected our request"),
        (JSON, {"a": 1}, errors.BadRequest, "cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (JSON, b"{", errors.BadRequest, "error decoding patch: "),
        (
            MERGE,
            [1],
            errors.BadRequest,
            r"error decoding patch: json: cannot unmarshal array into Go value of type map",
        ),
        (
            STRATEGIC,
            {"spec": {"containers": [{"image": "x"}]}},
            errors.UnknownError,
            r"^map: map\[image:x\] does not contain declared merge key: name$",
        ),
        (
            STRATEGIC,
            {"spec": {"$setElementOrder/nothing": [{"name": "x"}]}},
            errors.UnknownError,
            'unable to find api field in struct PodSpec for the json field "nothing"',
        ),
        (STRATEGIC, {"spec": {"$retainKeys": "x"}}, errors.BadRequest, "invalid patch format of retainKeys"),
        (STRATEGIC, {"metadata": {"name": "other"}}, errors.BadRequest, "does not match the name on the URL"),
        (
            MERGE,
            {"metadata": {"name": None}},
            errors.BadRequest,
            r"the name of the object \(web based on URL\) was undet",
        ),
        (STRATEGIC, {"metadata": {"namespace": "other"}}, errors.BadRequest, "namespace of the provided object"),
        (MERGE, {"kind": "Node"}, errors.Invalid, 'no kind "Node" is registered for version "v1"'),
        (
            MERGE,
            {"spec": {"activeDeadlineSeconds": "x"}},
            errors.Invalid,
            "json: cannot unmarshal string into Go struct field PodSpec.spec.activeDeadlineSeconds of type int64",
        ),
        (
            STRATEGIC,
            {"metadata": {"labels": {"n": 1}}},
            errors.Invalid,
            r'patch: Invalid value: "map\[metadata:map\[labels:map\[n:1\]\]\]": unrecognized type: string',
        ),
        (STRATEGIC, {"spec": {"hostname": "A_B"}}, errors.Invalid, "pod updates may not change fields other than"),
    ],
)
async def test_what_is_wrong_is_said_as_upstream_says_it(
    server: ApiServerInMemory, client: Client, pod: core_pb2.Pod, kind: PatchType, body: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        await patch(client, body, kind)
    assert type(caught.value) is error
    assert server.get(PODS, "default/web") == pod, "nothing was written"


async def test_what_is_not_there_and_what_is_no_patch(server: ApiServerInMemory, client: Client) -> None:
    with pytest.raises(errors.NotFound, match='pods "web" not found'):
        await patch(client, {"metadata": {}})
    path = pb.ResourcePath(version="v1", resource="pods", namespace="default", name="web")
    with pytest.raises(errors.UnsupportedMediaType, match="accepted media types include: application/json-patch"):
        await server.handle("/Patch", pb.PatchRequest(path=path, type="application/json", patch=b"{}"), "test")


@pytest.mark.parametrize(
    ("kind", "body", "complaint"),
    [
        (STRATEGIC, b'{"metadata":{"labels":{"a":"1","a":"2"}}}', 'duplicate field "a"'),
        (STRATEGIC, b'{"metadata":{"labels":{"a":"2"}},"spec":{"nope":1}}', 'unknown field "spec.nope"'),
        (MERGE, b'{"metadata":{"labels":{"a":"2"},"nope":1}}', 'unknown field "metadata.nope"'),
        (
            JSON,
            b'[{"op":"add","path":"/metadata/labels/a","value":"2"},{"op":"add","path":"/spec/containers/0/no","value":1}]',
            'unknown field "spec.containers[0].no"',
        ),
        (
            JSON,
            b'[{"op":"add","path":"/metadata/labels/a","value":"2","valeu":1}]',
            'json patch unknown field "[0].valeu"',
        ),
    ],
)
async def test_unknown_and_duplicate_fields(
    client: Client, pod: core_pb2.Pod, kind: PatchType, body: bytes, complaint: str
) -> None:
    with pytest.raises(errors.Invalid) as caught:
        await patch(client, body, kind, field_validation="Strict")
    assert f"strict decoding error: {complaint}" in caught.value.message
    for validation, expected in (("Ignore", []), ("Warn", [complaint]), ("", [complaint])):
        got: list[str] = []
        with warnings.listening(got.append):
            patched = await patch(client, body, kind, field_validation=validation)
        assert got == expected
        assert patched.metadata.labels["a"] == "2"


async def test_options_that_mean_nothing(server: ApiServerInMemory, client: Client, pod: core_pb2.Pod) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"field_validation": "Maybe"}, 'fieldValidation: Unsupported value: "Maybe": supported values: "", "Ignore"'),
        ({"force": True}, "force: Forbidden: may not be specified for non-apply patch"),
        ({"field_manager": "x" * 200}, "fieldManager: Too long: may not be more than 128 bytes"),
        ({"field_manager": "a\nb"}, "fieldManager: Invalid value"),
    )
    for options, message in wrong:
        with pytest.raises(errors.Invalid, match=r'PatchOptions\.meta\.k8s\.io "" is invalid') as caught:
            await patch(client, {}, **options)
        assert message in caught.value.message
    path = pb.ResourcePath(version="v1", resource="pods", namespace="default", name="web")
    request = pb.PatchRequest(path=path, type=MERGE, patch=b"{}", options=meta_pb2.PatchOptions(dryRun=["Some"]))
    with pytest.raises(errors.Invalid, match="dryRun: Unsupported value"):
        await server.handle("/Patch", request, "test")


# --- subresources


async def test_a_status_is_patched_alone(client: Client, pod: core_pb2.Pod) -> None:
    body = {"metadata": {"labels": {"x": "y"}}, "status": {"phase": "Running"}, "spec": {"nodeName": "n"}}
    patched = await patch(client, body, subresource="status")
    assert patched.status.phase == "Running"
    assert "x" not in patched.metadata.labels
    assert not patched.spec.nodeName
    assert (await patch(client, {"status": {"phase": "Failed"}})).status.phase == "Running"


async def test_a_scale_is_patched(client: Client) -> None:
    rc = core_pb2.ReplicationController()
    rc.metadata.name, rc.spec.replicas = "web", 2
    rc.spec.selector["app"] = rc.spec.template.metadata.labels["app"] = "web"
    rc.spec.template.spec.containers.add(name="main", image="host")
    await client.create(rc, "default")

    async def scale(body: Any, kind: PatchType = MERGE, *, dry_run: bool = False) -> autoscaling_pb2.Scale:
        data = json.dumps(body).encode()
        return await client.patch_scale(REPLICATION_CONTROLLERS, "web", data, kind, "default", dry_run=dry_run)

    assert (await scale({"spec": {"replicas": 9}}, dry_run=True)).spec.replicas == 9
    assert (await client.get(REPLICATION_CONTROLLERS, "web", "default")).spec.replicas == 2
    assert (await scale({"spec": {"replicas": 5}})).spec.replicas == 5
    await asyncio.gather(*(scale({"spec": {"replicas": n}}) for n in range(4)))
    got = await scale([{"op": "replace", "path": "/spec/replicas", "value": 3}], JSON)
    assert got.spec.replicas == 3
    stored = await client.get(REPLICATION_CONTROLLERS, "web", "default")
    assert (stored.spec.replicas, stored.metadata.name) == (3, "web")
    with pytest.raises(errors.Invalid, match=r"spec\.replicas: Invalid value: -1"):
        await scale({"spec": {"replicas": -1}})
    with pytest.raises(errors.Conflict):
        await scale({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 1}})


async def test_what_cannot_be_updated_cannot_be_patched(client: Client, pod: core_pb2.Pod) -> None:
    for subresource in ("binding", "log"):
        with pytest.raises(errors.MethodNotAllowed):
            await patch(client, {}, subresource=subresource)


# --- dry run


async def test_a_dry_run_says_what_would_be_and_stores_nothing(server: ApiServerInMemory, client: Client) -> None:
    made = await client.create(make.pod("web"), "default", dry_run=True)
    assert (made.metadata.uid != "", made.metadata.resourceVersion, made.spec.priority) == (True, "", 0)
    assert made.spec.tolerations, "admission has completed it"
    assert server.objects(PODS) == []
    pod = await client.create(make.pod("web", labels={"a": "b"}), "default")
    with pytest.raises(errors.AlreadyExists):
        await client.create(make.pod("web"), "default", dry_run=True)
    patched = await patch(client, {"metadata": {"labels": {"a": "c"}}}, dry_run=True)
    assert (patched.metadata.labels["a"], patched.metadata.resourceVersion) == ("c", pod.metadata.resourceVersion)
    changed = core_pb2.Pod.FromString(pod.SerializeToString())
    changed.metadata.labels["a"] = "d"
    assert (await client.update(changed, dry_run=True)).metadata.labels["a"] == "d"
    await client.delete(PODS, "web", "default", grace_period_seconds=0, dry_run=True)
    await client.delete_collection(PODS, "default", grace_period_seconds=0, dry_run=True)
    assert server.get(PODS, "default/web") == pod
    with pytest.raises(errors.Invalid):
        await patch(client, {"spec": {"containers": [{"name": "main", "image": ""}]}}, dry_run=True)
    with pytest.raises(errors.NotFound):
        await client.delete(PODS, "none", "default", dry_run=True)


async def test_a_dry_run_takes_no_address(client: Client) -> None:
    service = core_pb2.Service()
    service.metadata.name = "web"
    service.spec.clusterIP = "10.96.7.7"
    service.spec.ports.add(port=80)
    assert (await client.create(service, "default", dry_run=True)).spec.clusterIP == "10.96.7.7"
    service.metadata.name = "other"
    assert (await client.create(service, "default")).spec.clusterIP == "10.96.7.7"
    await client.delete(SERVICES, "other", "default", dry_run=True)
    service.metadata.name = "third"
    with pytest.raises(errors.Invalid, match="provided IP is already allocated"):
        await client.create(service, "default")


async def test_a_generated_name_is_generated_in_a_dry_run_too(client: Client) -> None:
    config = core_pb2.ConfigMap()
    config.metadata.generateName = "conf-"
    made = await client.create(config, "default", dry_run=True)
    assert made.metadata.name.startswith("conf-")
    with pytest.raises(errors.NotFound):
        await client.get(CONFIG_MAPS, made.metadata.name, "default")
