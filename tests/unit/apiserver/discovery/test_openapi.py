"""OpenAPI documents, as kubectl reads them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, cast

import pytest
from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.discovery import openapi, swagger
from kubelab.apiserver.discovery.groups import Served, groups
from kubelab.apiserver.resources.table import Resources, builtin
from kubelab.openapi.v2 import openapi_pb2 as pb

RESOURCES = Resources(builtin())
GROUPS = groups(Served(r, RESOURCES.subresource_verbs(r)) for r in RESOURCES.served)
VERSIONS = [version for group in GROUPS for version in group.versions]
TWO = openapi.version_2(GROUPS)
THREE = {version.api_version: openapi.version_3(version) for version in VERSIONS}


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        parts = cast(dict[str, Any], part)
        own = [parts["$ref"]] if isinstance(parts.get("$ref"), str) else []
        return own + [r for below in parts.values() for r in references(below)]
    return [r for below in cast(list[Any], part) for r in references(below)] if isinstance(part, list) else []


@pytest.mark.parametrize("api_version", THREE)
def test_every_reference_of_version_3_leads_to_a_schema(api_version: str) -> None:
    document = THREE[api_version]
    found = {name.removeprefix("#/components/schemas/") for name in references(document)}
    assert found <= document["components"]["schemas"].keys()


def test_every_reference_of_version_2_leads_to_a_definition() -> None:
    assert {name.removeprefix("#/definitions/") for name in references(TWO)} <= TWO["definitions"].keys()


def patches(document: dict[str, Any]) -> dict[tuple[str, str, str], list[str]]:
    """The query parameters of each kind's patch: by them kubectl learns whether the server validates fields."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for item in document["paths"].values():
        if operation := item.get("patch"):
            kind = operation["x-kubernetes-group-version-kind"]
            if operation["x-kubernetes-action"] == "connect":
                continue  # a proxied request
            found[kind["group"], kind["version"], kind["kind"]] = [one["name"] for one in operation["parameters"]]
    return found


def test_kubectl_learns_that_the_server_validates_fields() -> None:
    patchable = {(r.group, r.version, r.kind) for r in RESOURCES.served if "patch" in r.verbs}
    in_three = {kind: names for document in THREE.values() for kind, names in patches(document).items()}
    for found in (in_three, patches(TWO)):
        assert patchable <= found.keys()
        assert [kind for kind in patchable if "fieldValidation" not in found[kind]] == []


def test_kubectl_explain_finds_the_kind_of_a_resource_by_its_path() -> None:
    paths = THREE["apps/v1"]["paths"]
    listed = paths["/apis/apps/v1/namespaces/{namespace}/deployments"]["get"]
    assert listed["x-kubernetes-action"] == "list"
    assert listed["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale" in paths
    nodes = THREE["v1"]["paths"]
    assert {"/api/v1/nodes", "/api/v1/nodes/{name}", "/api/v1/nodes/{name}/status"} <= nodes.keys()


def test_operations_have_upstreams_ids() -> None:
    ids = [
        operation["operationId"]
        for document in THREE.values()
        for item in document["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    ]
    assert len(ids) == len(set(ids))
    assert {
        "createAppsV1NamespacedDeployment",
        "createCoreV1NamespacedPodEviction",
        "deleteCoreV1CollectionNamespacedPod",
        "listCoreV1PodForAllNamespaces",
        "listCoreV1NamespacedPod",
        "patchCoreV1NodeStatus",
        "readAppsV1NamespacedDeploymentScale",
        "readCoreV1NamespacedPodLog",
        "replaceCoreV1NamespaceFinalize",
    } <= set(ids)


def test_a_subresource_has_the_schema_of_its_own_kind() -> None:
    path = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"
    answer = THREE["apps/v1"]["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/io.k8s.api.autoscaling.v1.Scale"}
    scale = THREE["apps/v1"]["components"]["schemas"]["io.k8s.api.autoscaling.v1.Scale"]
    assert scale["x-kubernetes-group-version-kind"] == [{"group": "autoscaling", "version": "v1", "kind": "Scale"}]


def test_protobuf_has_everything_that_json_has() -> None:
    document = pb.Document.FromString(swagger.to_protobuf(TWO))
    assert document.swagger == "2.0"
    assert [path.name for path in document.paths.path] == list(TWO["paths"])
    definitions = {one.name: one.value for one in document.definitions.additional_properties}
    assert definitions.keys() == TWO["definitions"].keys()
    for name, schema in TWO["definitions"].items():
        assert as_json(definitions[name]) == schema, name
    pods = next(one.value for one in document.paths.path if one.name == "/api/v1/namespaces/{namespace}/pods")
    said = {one.name: json.loads(one.value.yaml) for one in pods.post.vendor_extension}
    assert said["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    queries = [one.parameter.non_body_parameter.query_parameter_sub_schema.name for one in pods.post.parameters]
    assert "fieldValidation" in queries


def as_json(schema: pb.Schema) -> dict[str, Any]:
    """Read a schema back, as kubectl's library does."""
    words = {"$ref": schema._ref, "format": schema.format, "description": schema.description}
    found: dict[str, Any] = {key: value for key, value in words.items() if value}
    found |= {one.name: json.loads(one.value.yaml) for one in schema.vendor_extension}
    if schema.type.value:
        (found["type"],) = schema.type.value
    if schema.required:
        found["required"] = list(schema.required)
    if schema.HasField("properties"):
        found["properties"] = {one.name: as_json(one.value) for one in schema.properties.additional_properties}
    if schema.HasField("items"):
        found["items"] = as_json(schema.items.schema[0])
    if schema.HasField("additional_properties"):
        found["additionalProperties"] = as_json(schema.additional_properties.schema)
    return found


CRONTAB: dict[str, Any] = {
    "type": "object",
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]},
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 9, "default": 2},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "maybe": {"type": "string", "nullable": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"], "pattern": "^.$"}},
                "more": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 3}},
                "any": {
                    "type": "object",
                    "additionalProperties": True,
                    "example": {"a": 1},
                    "not": {"required": ["x"]},
                },
            },
            "x-kubernetes-validations": [{"rule": "self.size < 8"}],
        },
    },
}
CRONTABS = dataclasses.replace(
    scheme.CONFIG_MAPS, plural="crontabs", singular="crontab", kind="CronTab", group="example.com"
)


def custom(resource: Resource[Message]) -> tuple[str, dict[str, Any]] | None:
    return ("com.example.v1.CronTab", CRONTAB) if resource is CRONTABS else None


def test_a_custom_resource_is_described_by_its_own_schema() -> None:
    found = groups([Served(CRONTABS, {"status": ("get", "update", "patch")})])
    (version,) = found[0].versions
    three = openapi.version_3(version, custom)
    schemas = three["components"]["schemas"]
    assert schemas["com.example.v1.CronTab"] == CRONTAB
    listed = schemas["com.example.v1.CronTabList"]
    assert listed["x-kubernetes-group-version-kind"] == [
        {"group": "example.com", "version": "v1", "kind": "CronTabList"}
    ]
    assert {name.removeprefix("#/components/schemas/") for name in references(three)} <= schemas.keys()
    assert "io.k8s.api.core.v1.ConfigMap" not in schemas
    operation = three["paths"]["/apis/example.com/v1/namespaces/{namespace}/crontabs/{name}/status"]["patch"]
    assert operation["operationId"] == "patchExampleComV1NamespacedCronTabStatus"

    two = openapi.version_2(found, custom)
    assert {name.removeprefix("#/definitions/") for name in references(two)} <= two["definitions"].keys()
    spec = two["definitions"]["com.example.v1.CronTab"]["properties"]["spec"]["properties"]
    assert spec["port"] == {"x-kubernetes-int-or-string": True}
    assert spec["maybe"] == {}
    assert spec["free"] == {"x-kubernetes-preserve-unknown-fields": True}
    assert spec["size"] == {"type": "integer", "minimum": 1, "maximum": 9, "default": 2}
    document = pb.Document.FromString(swagger.to_protobuf(two))
    names = [one.name for one in document.definitions.additional_properties]
    assert {"com.example.v1.CronTab", "com.example.v1.CronTabList"} <= set(names)
