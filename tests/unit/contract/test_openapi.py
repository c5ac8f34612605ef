"""OpenAPI schemas against the facts of Kubernetes 1.32, and against excerpts of its own documents."""

from __future__ import annotations

from typing import Any, cast

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import openapi, patchmeta, scheme
from tests.unit.contract.test_fields import ATOMIC, OURS, UPSTREAM, Fact

TWO, THREE = openapi.schemas(version=2), openapi.schemas()
PLAIN: dict[str, dict[str, str]] = {
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "format": "byte"},
    "double": {"type": "number", "format": "double"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "string": {"type": "string"},
}
PACKAGES = {
    "apiextensions.v1": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
    "meta.v1": "io.k8s.apimachinery.pkg.apis.meta.v1",
    "resource": "io.k8s.apimachinery.pkg.api.resource",
    "intstr": "io.k8s.apimachinery.pkg.util.intstr",
    "runtime": "io.k8s.apimachinery.pkg.runtime",
}
MESSAGES = [m for m in UPSTREAM if "properties" in TWO.get(openapi.name_of(OURS[m]), {})]


def value(kind: str) -> dict[str, str]:
    if kind in PLAIN:
        return PLAIN[kind]
    package, _, name = kind.rpartition(".")
    return {"$ref": f"#/definitions/{PACKAGES.get(package, f'io.k8s.api.{package}')}.{name}"}


def expected(fact: Fact) -> dict[str, Any]:
    """A field as upstream's document of version 2 has it."""
    kind = fact.type.removeprefix("optional_")
    if kind.startswith("map<string,"):
        told: dict[str, Any] = {"type": "object", "additionalProperties": value(kind[len("map<string,") : -1])}
    elif kind.startswith("repeated_"):
        told = {"type": "array", "items": value(kind.removeprefix("repeated_"))}
    else:
        told = dict(value(kind))
    for said in fact.said:
        word, _, what = said.partition("=")
        if word == "list":
            told["x-kubernetes-list-type"], _, keys = what.partition(":")
            told |= {"x-kubernetes-list-map-keys": keys.split(",")} if keys else {}
        elif word == "patch":
            told["x-kubernetes-patch-strategy"] = what
        elif word == "key":
            told["x-kubernetes-patch-merge-key"] = what
        elif word == "atomic":
            told["x-kubernetes-map-type"] = "atomic"
    return told


def flat(message: str) -> dict[str, Fact]:
    """A message's fields as JSON has them."""
    found: dict[str, Fact] = {}
    for name, fact in UPSTREAM[message].items():
        key = next((said.removeprefix("json=") for said in fact.said if said.startswith("json=")), name)
        found |= flat(fact.type) if "inline" in fact.said else {key: fact}
    return found


@pytest.mark.parametrize("message", MESSAGES)
def test_every_property_is_as_in_upstreams_document(message: str) -> None:
    ours, facts = TWO[openapi.name_of(OURS[message])], flat(message)
    properties = {n: p for n, p in ours["properties"].items() if n in facts or n not in ("apiVersion", "kind")}
    properties = {n: {k: v for k, v in p.items() if k != "description"} for n, p in properties.items()}
    assert properties == {name: expected(fact) for name, fact in facts.items()}
    assert ours.get("required", []) == sorted(name for name, fact in facts.items() if "required" in fact.said)
    assert ("x-kubernetes-map-type" in ours) == (message in ATOMIC)


@pytest.mark.parametrize("resource", scheme.ALL, ids=str)
def test_every_kind_is_named_and_has_its_list(resource: Any) -> None:
    for document in (TWO, THREE):
        own = document[openapi.name_of(resource.message.DESCRIPTOR)]
        assert own["x-kubernetes-group-version-kind"] == [
            {"group": resource.group, "version": resource.version, "kind": resource.kind}
        ]
        assert {"apiVersion", "kind", "metadata"} <= own["properties"].keys()
        has_list = f"{openapi.name_of(resource.message.DESCRIPTOR)}List" in document
        assert has_list == ("list" in resource.verbs)


@pytest.mark.parametrize(("document", "prefix"), [(TWO, "#/definitions/"), (THREE, "#/components/schemas/")])
def test_every_reference_leads_to_a_schema(document: dict[str, Any], prefix: str) -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            parts = cast(dict[str, Any], part)
            return (
                [parts["$ref"]]
                if isinstance(parts.get("$ref"), str)
                else [r for below in parts.values() for r in references(below)]
            )
        return [r for below in cast(list[Any], part) for r in references(below)] if isinstance(part, list) else []

    found = references(document)
    assert found
    assert {r.removeprefix(prefix) for r in found} <= document.keys()


def test_descriptions_are_the_comments_of_the_contract() -> None:
    assert THREE["io.k8s.api.core.v1.Pod"]["description"].endswith(".")
    field = THREE["io.k8s.api.core.v1.PodSpec"]["properties"]["serviceAccount"]
    assert field == {"description": "The older name of serviceAccountName.", "type": "string"}


def test_version_3_has_the_defaults_of_go() -> None:
    port = THREE["io.k8s.api.core.v1.ContainerPort"]["properties"]
    described = {"description": port["containerPort"]["description"]}
    assert port["containerPort"] == {"default": 0, "format": "int32", "type": "integer", **described}
    assert port["hostIP"] == {"type": "string"}
    status = THREE["io.k8s.api.core.v1.ContainerStatus"]["properties"]
    state = "#/components/schemas/io.k8s.api.core.v1.ContainerState"
    assert status["lastState"] == {"allOf": [{"$ref": state}], "default": {}}
    assert status["ready"] == {"default": False, "type": "boolean"}
    names = THREE["io.k8s.api.core.v1.ContainerImage"]["properties"]["names"]
    assert names == {"items": {"default": "", "type": "string"}, "type": "array", "x-kubernetes-list-type": "atomic"}
    started = THREE["io.k8s.api.core.v1.ContainerStateRunning"]["properties"]["startedAt"]
    assert started == {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Time"}


def test_numbers_or_names_and_quantities() -> None:
    either = {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}
    assert THREE["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] == either
    assert TWO["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] == {"type": "string", "format": "int-or-string"}
    assert TWO["io.k8s.apimachinery.pkg.api.resource.Quantity"] == {"type": "string"}


# --- patch metadata

POD_SPEC = core_pb2.PodSpec.DESCRIPTOR


def test_patches_merge_what_upstream_merges() -> None:
    spec = patchmeta.fields(POD_SPEC)
    assert spec["containers"][:2] == (("merge",), "name")
    assert spec["volumes"][:2] == (("merge", "retainKeys"), "name")
    assert spec["tolerations"][:2] == ((), "")
    assert spec["nodeName"] == ((), "", None, False)
    assert spec["nodeSelector"] == ((), "", None, True)
    container = spec["containers"].below
    assert container is not None
    assert patchmeta.fields(container)["ports"].merge_key == "containerPort"


def test_patches_find_the_fields_of_inlined_parts() -> None:
    volume = patchmeta.fields(POD_SPEC)["volumes"].below
    assert volume is not None
    assert {"name", "emptyDir", "configMap"} <= patchmeta.fields(volume).keys()
    assert "volumeSource" not in patchmeta.fields(volume)
