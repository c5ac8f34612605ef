"""A definition, whose schema has JSON inside and fields that may be of several types, through both readers and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubelab.api.apiextensions.v1.apiextensions_pb2 import CustomResourceDefinition, JSONSchemaProps
from kubelab.apimachinery import jsonobjects
from kubelab.apimachinery.jsonobjects import DecodingError
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.manifest.encode import message_to_dict, to_dict
from tests.unit.apiserver.customresources.conftest import definition, spec_schema

SCHEMAS: list[dict[str, Any]] = [
    {"$ref": "x", "$schema": "y"},
    {"type": "string", "default": "busybox", "enum": ["a", 1, None, {"b": [True]}]},
    {"default": {"a": [1, 2.5, None]}, "example": []},
    {"additionalProperties": True},
    {"additionalProperties": False},
    {"additionalProperties": {"type": "string", "x-kubernetes-int-or-string": True}},
    {"items": {"type": "string"}},
    {"items": [{"type": "string"}, {"type": "integer"}]},
    {"dependencies": {"a": ["b", "c"], "d": {"type": "object"}}},
    {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["a"],
        "x-kubernetes-preserve-unknown-fields": True,
    },
    {
        "x-kubernetes-validations": [{"rule": "self > 1", "message": "too small"}],
        "maximum": 1.5,
        "not": {"minimum": 0.5},
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_every_part_of_a_schema(schema: dict[str, Any]) -> None:
    whole = {"type": "object", "properties": {"x": schema}}
    obj, unknown = jsonobjects.decode(whole, JSONSchemaProps)
    assert not unknown
    assert message_to_dict(obj) == whole
    crd = definition(whole)
    (document,) = decode(json.dumps(crd), "crd.json")
    assert to_dict(document.obj)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == whole


def test_unknown_fields_and_wrong_types_inside_of_schemas_are_found() -> None:
    crd = definition(spec_schema(x={"additionalProperties": {"typo": 1}, "items": [{"type": "a", "tpe": "b"}]}))
    _, unknown = jsonobjects.decode(crd, CustomResourceDefinition)
    path = "spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.x"
    assert unknown == [
        f'unknown field "{path}.additionalProperties.typo"',
        f'unknown field "{path}.items[0].tpe"',
    ]
    with pytest.raises(DecodingError, match="boolean or JSON schema expected"):
        jsonobjects.decode({"additionalProperties": "yes"}, JSONSchemaProps)
