"""Server-side apply and managed fields, through the endpoints of an api-server in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.fieldsets import csaupgrade
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.patch.types import PatchType
from kubelab.apimachinery.scheme import CONFIG_MAPS, DEPLOYMENTS, PODS
from kubelab.client.client import Client
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: "nginx:1", ports: [{containerPort: 80}]}
"""


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def server(clock: FakeClock) -> ApiServerInMemory:
    return ApiServerInMemory(clock=clock)


@pytest.fixture
async def client(server: ApiServerInMemory) -> AsyncGenerator[Client]:
    async with server.client("kctl") as client:
        yield client


async def apply(
    client: Client,
    body: Any,
    manager: str = "kubectl",
    *,
    resource: Any = DEPLOYMENTS,
    name: str = "web",
    **options: Any,
) -> Any:
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    return await client.patch(resource, name, data, PatchType.APPLY, "default", field_manager=manager, **options)


def part(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def deployment() -> apps_pb2.Deployment:
    (document,) = decode(DEPLOYMENT, "deployment")
    assert isinstance(document.obj, apps_pb2.Deployment)
    return document.obj


def managers(obj: Any) -> dict[tuple[str, str, str], Any]:
    """The fields of each manager, by its name, operation and subresource."""
    return {
        (one.manager, one.operation, one.subresource): json.loads(one.fieldsV1.Raw)
        for one in obj.metadata.managedFields
    }


# --- what is tracked, and how


async def test_a_creation_that_names_its_manager_is_tracked_as_upstream_tracks_it(client: Client) -> None:
    made = await client.create(deployment(), "default", field_manager="kubectl-create")
    (entry,) = made.metadata.managedFields
    assert (entry.manager, entry.operation, entry.apiVersion, entry.fieldsType, entry.subresource) == (
        "kubectl-create",
        "Update",
        "apps/v1",
        "FieldsV1",
        "",
    )
    # What a kube-apiserver 1.32 stores for `kubectl create -f` of the same file.
    assert json.loads(entry.fieldsV1.Raw) == {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:progressDeadlineSeconds": {},
            "f:replicas": {},
            "f:revisionHistoryLimit": {},
            "f:selector": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"main"}': {
                            ".": {},
                            "f:image": {},
                            "f:imagePullPolicy": {},
                            "f:name": {},
                            "f:ports": {
                                ".": {},
                                'k:{"containerPort":80,"protocol":"TCP"}': {
                                    ".": {},
                                    "f:containerPort": {},
                                    "f:protocol": {},
                                },
                            },
                            "f:resources": {},
                            "f:terminationMessagePath": {},
                            "f:terminationMessagePolicy": {},
                        }
                    },
                    "f:dnsPolicy": {},
                    "f:restartPolicy": {},
                    "f:schedulerName": {},
                    "f:securityContext": {},
                    "f:terminationGracePeriodSeconds": {},
                },
            },
        },
    }


async def test_what_names_no_manager_is_not_tracked(client: Client) -> None:
    made = await client.create(make.pod("web"), "default")
    made.metadata.labels["a"] = "b"
    assert not (await client.update(made)).metadata.managedFields


async def test_an_update_takes_the_fields_that_it_changes(client: Client, clock: FakeClock) -> None:
    made = await client.create(deployment(), "default", field_manager="kubectl-create")
    await clock.advance(60)
    made.spec.replicas = 5
    made.metadata.labels["new"] = "x"
    changed = await client.update(made, field_manager="kubectl-edit")
    of = managers(changed)
    assert of["kubectl-edit", "Update", ""] == {
        "f:metadata": {"f:labels": {"f:new": {}}},
        "f:spec": {"f:replicas": {}},
    }
    assert "f:replicas" not in of["kubectl-create", "Update", ""]["f:spec"]
    first, second = changed.metadata.managedFields
    assert second.time.seconds - first.time.seconds == 60
    await clock.advance(60)
    again = await client.update(changed, field_manager="somebody")
    assert again.metadata == changed.metadata, "who changes nothing manages nothing"


async def test_a_status_has_its_own_entry(client: Client, server: ApiServerInMemory) -> None:
    made = await client.create(deployment(), "default", field_manager="kubectl-create")
    made.status.replicas = made.status.observedGeneration = 1
    made.metadata.labels["ignored"] = "x"
    made.metadata.annotations["deployment.kubernetes.io/revision"] = "1"
    async with server.client("controller-manager@cp-1") as controller:
        changed = await controller.update_status(made)
    of = managers(changed)
    assert of["kube-controller-manager", "Update", "status"] == {
        "f:metadata": {"f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}},
        "f:status": {"f:observedGeneration": {}, "f:replicas": {}},
    }
    assert of.keys() == {("kubectl-create", "Update", ""), ("kube-controller-manager", "Update", "status")}


async def test_a_scale_has_its_own_entry(client: Client) -> None:
    await client.create(deployment(), "default", field_manager="kubectl-create")
    await client.patch_scale(DEPLOYMENTS, "web", b'{"spec":{"replicas":7}}', PatchType.MERGE, "default")
    of = managers(await client.get(DEPLOYMENTS, "web", "default"))
    assert of["kubectl", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}
    with pytest.raises(errors.Conflict) as caught:
        await apply(client, part(replicas=1), "ci")
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas'
    )


async def test_a_scale_is_applied(client: Client) -> None:
    made = await client.create(deployment(), "default", field_manager="kubectl-create")

    async def scale(replicas: int, manager: str, *, force: bool | None = None) -> int:
        body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}}
        data = json.dumps({**body, "spec": {"replicas": replicas}}).encode()
        done = await client.patch_scale(
            DEPLOYMENTS, "web", data, PatchType.APPLY, "default", field_manager=manager, force=force
        )
        assert not done.metadata.managedFields
        return done.spec.replicas

    with pytest.raises(errors.Conflict) as caught:
        await scale(5, "autoscaler")
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-create" using autoscaling/v1: .spec.replicas'
    )
    assert await scale(5, "autoscaler", force=True) == 5
    now = await client.get(DEPLOYMENTS, "web", "default")
    assert (now.spec.replicas, now.metadata.generation) == (5, made.metadata.generation + 1)
    of = managers(now)
    assert of["autoscaler", "Apply", "scale"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in of["kubectl-create", "Update", ""]["f:spec"]
    assert {entry.apiVersion for entry in now.metadata.managedFields} == {"apps/v1"}

    assert await scale(5, "other") == 5  # the same value: both have it
    assert {"autoscaler", "other"} <= {name for name, _, _ in managers(await client.get(DEPLOYMENTS, "web", "default"))}
    with pytest.raises(errors.Conflict):
        await apply(client, part(replicas=1), "ci")
    before = await client.get(DEPLOYMENTS, "web", "default")
    assert await scale(5, "other") == 5
    assert (await client.get(DEPLOYMENTS, "web", "default")).metadata.generation == before.metadata.generation


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "Deployment"}, "invalid object type: autoscaling/v1, Kind=Deployment"),
        (
            {"apiVersion": "apps/v1"},
            "Incorrect version specified in apply patch. Specified patch version: apps/v1, expected: autoscaling/v1",
        ),
        ({"spec": {"replicas": -1}}, 'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be'),
        ({"spec": {"size": 1}}, "failed to create typed patch object (/web; autoscaling/v1, Kind=Scale): .spec.size: "),
    ],
)
async def test_what_is_no_scale_is_not_applied(client: Client, changed: dict[str, Any], message: str) -> None:
    await client.create(deployment(), "default")
    body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 1}}
    data = json.dumps(body | changed).encode()
    with pytest.raises(errors.ApiError) as caught:
        await client.patch_scale(DEPLOYMENTS, "web", data, PatchType.APPLY, "default", field_manager="a", force=True)
    assert caught.value.message.startswith(message)
    assert (await client.get(DEPLOYMENTS, "web", "default")).spec.replicas == 2


async def test_one_empty_entry_clears_the_list(client: Client) -> None:
    made = await client.create(deployment(), "default", field_manager="kubectl-create")
    made.metadata.ClearField("managedFields")
    made.metadata.managedFields.add()
    assert not (await client.update(made)).metadata.managedFields


async def test_a_client_that_knows_nothing_of_managed_fields_does_not_lose_them(client: Client) -> None:
    made = await client.create(deployment(), "default", field_manager="kubectl-create")
    kept = list(made.metadata.managedFields)
    made.metadata.ClearField("managedFields")
    assert list((await client.update(made)).metadata.managedFields) == kept


async def test_entries_that_cannot_be_read_are_as_if_they_were_not_there(client: Client) -> None:
    pod = make.pod("web")
    pod.metadata.managedFields.add(manager="x", operation="Nonsense", apiVersion="v1", fieldsType="FieldsV1")
    assert not (await client.create(pod, "default")).metadata.managedFields


# --- apply


async def test_apply_creates_what_is_not_there(client: Client) -> None:
    made = await apply(client, DEPLOYMENT)
    assert (made.spec.replicas, made.spec.progressDeadlineSeconds, made.metadata.generation) == (2, 600, 1)
    of = managers(made)
    assert of == {
        ("kubectl", "Apply", ""): {
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"main"}': {
                                ".": {},
                                "f:image": {},
                                "f:name": {},
                                "f:ports": {
                                    'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}
                                },
                            }
                        }
                    },
                },
            },
        }
    }


async def test_the_same_applied_again_writes_nothing(client: Client, clock: FakeClock) -> None:
    made = await apply(client, DEPLOYMENT)
    await clock.advance(100)
    assert await apply(client, DEPLOYMENT) == made


async def test_two_appliers_share_a_value_and_conflict_over_another(client: Client) -> None:
    await apply(client, DEPLOYMENT)
    shared = await apply(client, part(replicas=2), "autoscaler")
    assert managers(shared)["autoscaler", "Apply", ""] == {"f:spec": {"f:replicas": {}}}
    with pytest.raises(errors.Conflict) as caught:
        await apply(client, part(replicas=9, paused=True), "autoscaler")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas'
    (cause,) = caught.value.causes
    assert (cause.reason, cause.field) == ("FieldManagerConflict", ".spec.replicas")
    taken = await apply(client, part(replicas=9), "autoscaler", force=True)
    assert taken.spec.replicas == 9
    assert "f:replicas" not in managers(taken)["kubectl", "Apply", ""]["f:spec"]


async def test_conflicts_are_listed_by_manager(client: Client) -> None:
    await client.create(deployment(), "default", field_manager="kubectl-client-side-apply")
    await apply(client, part(minReadySeconds=3), "zeta")
    body = part(
        replicas=9,
        minReadySeconds=4,
        template={"spec": {"containers": [{"name": "main", "image": "other"}]}},
    )
    with pytest.raises(errors.Conflict) as caught:
        await apply(client, body, "ci")
    assert caught.value.message == (
        "Apply failed with 3 conflicts: "
        'conflicts with "kubectl-client-side-apply" using apps/v1:\n'
        "- .spec.replicas\n"
        '- .spec.template.spec.containers[name="main"].image\n'
        'conflicts with "zeta":\n'
        "- .spec.minReadySeconds"
    )


async def test_what_is_applied_no_longer_goes_and_defaults_come_back(client: Client) -> None:
    body = json.loads(json.dumps(part(replicas=3, minReadySeconds=9)))
    await apply(client, DEPLOYMENT, "base")
    body["metadata"]["labels"] = {"mine": "x", "app": "web"}
    body["spec"]["template"] = {
        "spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}, {"name": "two", "image": "i"}]}
    }
    applied = await apply(client, body, "ci", force=True)
    assert [c.name for c in applied.spec.template.spec.containers] == ["main", "two"]
    left = await apply(client, {key: value for key, value in part().items() if key != "spec"}, "ci")
    assert (left.spec.minReadySeconds, left.spec.replicas) == (0, 1)
    assert dict(left.metadata.labels) == {"app": "web"}, "the other applier has that label too"
    (container,) = left.spec.template.spec.containers
    assert (container.image, list(container.env)) == ("nginx:1", [])
    assert managers(left).keys() == {("base", "Apply", "")}


async def test_what_another_one_updated_stays(client: Client) -> None:
    made = await apply(client, DEPLOYMENT)
    made.spec.replicas = 7
    await client.update(made, field_manager="kubectl-scale")
    with pytest.raises(errors.Conflict, match=r'conflict with "kubectl-scale" using apps/v1: \.spec\.replicas$'):
        await apply(client, DEPLOYMENT)
    left = await apply(client, DEPLOYMENT.replace("replicas: 2", "paused: true"))
    assert (left.spec.replicas, left.spec.paused) == (7, True)


async def test_an_object_that_was_not_tracked_belongs_to_before_first_apply(client: Client) -> None:
    await client.create(deployment(), "default")
    with pytest.raises(errors.Conflict) as caught:
        await apply(client, part(replicas=9), "ci")
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "before-first-apply" using apps/v1: .spec.replicas'
    )
    forced = await apply(client, part(replicas=9), "ci", force=True)
    assert {name for name, *_ in managers(forced)} == {"before-first-apply", "ci"}
    forced.metadata.annotations["x"] = "y"
    assert "f:annotations" in managers(await client.update(forced))["kubectl", "Update", ""]["f:metadata"]


async def test_kubectl_takes_over_what_client_side_apply_has_set(client: Client) -> None:
    """Without conflicts, as far as the annotation says what it was; and the annotation stays true."""
    made = deployment()
    last = part(replicas=2)
    made.metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"] = json.dumps(last)
    await client.create(made, "default", field_manager="kubectl-client-side-apply")
    with pytest.raises(errors.Conflict):
        await apply(client, part(replicas=4), "ci")
    taken = await apply(client, part(replicas=4))
    assert taken.spec.replicas == 4
    annotation = taken.metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]
    assert json.loads(annotation) == part(replicas=4)
    await apply(client, part(minReadySeconds=1), "other")
    with pytest.raises(errors.Conflict, match=r'conflict with "other": \.spec\.minReadySeconds'):
        await apply(client, part(replicas=4, minReadySeconds=2))


async def test_an_object_moves_from_client_side_to_server_side_apply(client: Client) -> None:
    """What is not applied any more goes, also where it was client-side apply that has set it."""
    made = deployment()
    made.metadata.labels["old"] = "x"
    made = await client.create(made, "default", field_manager=csaupgrade.CLIENT_SIDE_APPLY)
    patch = csaupgrade.upgrade_patch(made, [csaupgrade.CLIENT_SIDE_APPLY], "kubectl")
    assert patch is not None
    moved = await client.patch(DEPLOYMENTS, "web", patch, PatchType.JSON, "default", field_manager="kubectl")
    assert managers(moved).keys() == {("kubectl", "Apply", "")}
    assert csaupgrade.upgrade_patch(moved, [csaupgrade.CLIENT_SIDE_APPLY], "kubectl") is None
    applied = await apply(client, DEPLOYMENT)
    assert dict(applied.metadata.labels) == {"app": "web"}
    with pytest.raises(errors.Conflict):
        await client.patch(DEPLOYMENTS, "web", patch, PatchType.JSON, "default")


async def test_lists_of_the_api_are_merged_by_their_keys(client: Client) -> None:
    await apply(client, DEPLOYMENT)
    sidecar = {"template": {"spec": {"containers": [{"name": "sidecar", "image": "s"}]}}}
    both = await apply(client, part(**sidecar), "mesh")
    assert [c.name for c in both.spec.template.spec.containers] == ["main", "sidecar"]
    again = await apply(client, DEPLOYMENT.replace("nginx:1", "nginx:2"))
    assert [c.image for c in again.spec.template.spec.containers] == ["nginx:2", "s"]


async def test_a_status_is_applied_through_its_subresource(client: Client) -> None:
    await apply(client, DEPLOYMENT)
    body = part(replicas=9) | {"status": {"observedGeneration": 1}}
    changed = await apply(client, body, "me", subresource="status")
    assert (changed.spec.replicas, changed.status.observedGeneration) == (2, 1)
    assert managers(changed)["me", "Apply", "status"] == {"f:status": {"f:observedGeneration": {}}}
    with pytest.raises(errors.NotFound):
        await apply(client, body | {"metadata": {"name": "none"}}, "me", name="none", subresource="status")


async def test_a_dry_run_of_an_apply_changes_nothing(client: Client, server: ApiServerInMemory) -> None:
    shown = await apply(client, DEPLOYMENT, dry_run=True)
    assert shown.spec.replicas == 2
    assert server.objects(DEPLOYMENTS) == []
    made = await apply(client, DEPLOYMENT)
    assert (await apply(client, part(replicas=8), "ci", force=True, dry_run=True)).spec.replicas == 8
    assert await client.get(DEPLOYMENTS, "web", "default") == made


async def test_appliers_at_once_all_succeed(client: Client) -> None:
    def body(n: int) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {f"k{n}": "x"}}

    await asyncio.gather(*(apply(client, body(n), f"m{n}", resource=CONFIG_MAPS) for n in range(12)))
    config = await client.get(CONFIG_MAPS, "web", "default")
    assert len(config.data) == 12
    assert len(managers(config)) == 12


async def test_updaters_are_not_remembered_without_bound(client: Client, clock: FakeClock) -> None:
    config = core_pb2.ConfigMap(metadata=meta_pb2.ObjectMeta(name="web"), data={"first": "x"})
    config = await client.create(config, "default", field_manager="m0")
    for n in range(1, 15):
        await clock.advance(1)
        config.data[f"k{n}"] = "x"
        config = await client.update(config, field_manager=f"m{n}")
    names = [one.manager for one in config.metadata.managedFields]
    assert len(names) == 10
    assert names[0] == "ancient-changes"
    assert "f:first" in managers(config)["ancient-changes", "Update", ""]["f:data"]


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("{", errors.BadRequest, "error decoding YAML"),
        ("a: [", errors.BadRequest, "error decoding YAML"),
        (part() | {"apiVersion": "apps/v2"}, errors.BadRequest, "Specified patch version: apps/v2, expected: apps/v1"),
        (part() | {"kind": "Pod"}, errors.BadRequest, "invalid object type: apps/v1, Kind=Pod"),
        (
            part(foo=1, replicas="x"),
            errors.UnknownError,
            "failed to create typed patch object (/web; apps/v1, Kind=Deployment): errors:\n"
            "  .spec.foo: field not declared in schema\n"
            "  .spec.replicas: expected numeric (int or float), got string",
        ),
        (
            part(template={"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}),
            errors.UnknownError,
            '.spec.template.spec.containers: duplicate entries for key [name="a"]',
        ),
        (
            part(template={"spec": {"containers": [{"image": "a"}]}}),
            errors.UnknownError,
            'element 0: associative list with keys has an element that omits key field "name"',
        ),
        (part() | {"metadata": {"name": "other"}}, errors.BadRequest, "does not match the name on the URL"),
        (
            part() | {"metadata": {"name": "web", "managedFields": [{"manager": "x"}]}},
            errors.BadRequest,
            "metadata.managedFields must be nil",
        ),
        (part() | {"metadata": {"name": "web", "uid": "u"}}, errors.Conflict, "uid mismatch: the provided object"),
        (part(), errors.Invalid, "spec.selector: Required value"),
    ],
)
async def test_what_is_wrong(client: Client, body: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        await apply(client, body)
    assert message in caught.value.message


async def test_apply_needs_a_manager_and_a_version_must_fit(client: Client) -> None:
    with pytest.raises(errors.Invalid, match="fieldManager: Required value: is required for apply patch"):
        await apply(client, DEPLOYMENT, "")
    made = await apply(client, DEPLOYMENT)
    body = part(replicas=3)
    body["metadata"]["resourceVersion"] = "1"
    with pytest.raises(errors.Conflict, match="the object has been modified"):
        await apply(client, body, "ci", force=True)
    body["metadata"]["resourceVersion"] = made.metadata.resourceVersion
    assert (await apply(client, body, "ci", force=True)).spec.replicas == 3


async def test_a_pod_of_a_user_is_tracked_through_its_life(client: Client, server: ApiServerInMemory) -> None:
    await client.create(make.pod("web"), "default", field_manager="kubectl-run")
    binding = core_pb2.Binding(target=core_pb2.ObjectReference(kind="Node", name="node-1"))
    binding.metadata.name, binding.metadata.namespace = "web", "default"
    await client.bind(binding)
    pod = deep_copy(await client.get(PODS, "web", "default"))
    pod.status.phase, pod.status.podIP = "Running", "10.0.0.1"
    pod.status.podIPs.add(ip="10.0.0.1")
    async with server.client("kubelet@node-1") as kubelet:
        pod = await kubelet.update_status(pod)
    fields = managers(pod)["kubelet", "Update", "status"]["f:status"]
    assert fields["f:podIPs"] == {".": {}, 'k:{"ip":"10.0.0.1"}': {".": {}, "f:ip": {}}}
