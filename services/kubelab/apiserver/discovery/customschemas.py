"""Schemas of custom resources within the OpenAPI documents: their lists, and what version 2 can say of them."""

from __future__ import annotations

from typing import Any, cast

from google.protobuf.message import Message

from kubelab.apimachinery.openapi import Schema
from kubelab.apimachinery.scheme import Resource

_THREE, _TWO = "#/components/schemas/", "#/definitions/"
_LIST_META = f"{_THREE}io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
_IN_2 = frozenset(  # what a client that reads version 2 needs; the rest, such as oneOf, it does not know
    {"additionalProperties", "default", "description", "enum", "exclusiveMaximum", "exclusiveMinimum", "format"}
    | {"items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties"}
    | {"minimum", "multipleOf", "pattern", "properties", "required", "title", "type", "uniqueItems"}
)
_OPEN = ("additionalProperties", "items", "properties", "type")


def of_list(resource: Resource[Message], name: str) -> Schema:
    """Describe the list of a custom resource whose schema has this name, in version 3."""
    kind = resource.list_kind or f"{resource.kind}List"
    return {
        "type": "object",
        "description": f"{kind} is a list of {resource.kind}.",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": "The group and version of this form of the list."},
            "items": {
                "type": "array",
                "description": f"The list of {resource.plural}.",
                "items": {"allOf": [{"$ref": f"{_THREE}{name}"}]},
            },
            "kind": {"type": "string", "description": "The kind of the list."},
            "metadata": {"allOf": [{"$ref": _LIST_META}]},
        },
        "x-kubernetes-group-version-kind": [{"group": resource.group, "version": resource.version, "kind": kind}],
    }


def to_version_2(schema: Schema) -> Schema:
    """Leave out what version 2 cannot say (upstream's ``ToStructuralOpenAPIV2``).

    What may be null, or may have unknown fields, says nothing of its type then: kubectl would refuse what is valid.
    """
    (only,) = schema.get("allOf", [None]) if len(schema.get("allOf", ())) == 1 else (None,)
    if isinstance(only, dict) and "$ref" in only:
        return {"$ref": cast(str, only["$ref"]).replace(_THREE, _TWO)}
    made: Schema = {key: value for key, value in schema.items() if key in _IN_2 or key.startswith("x-")}
    if schema.get("nullable") or schema.get("x-kubernetes-preserve-unknown-fields"):
        for key in _OPEN:
            made.pop(key, None)
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    if "properties" in made:
        properties: dict[str, Schema] = made["properties"]
        made["properties"] = {key: to_version_2(below) for key, below in properties.items()}
    for key in ("items", "additionalProperties"):
        below: Any = made.get(key)
        if isinstance(below, dict):
            made[key] = to_version_2(cast(Schema, below))
    return made
