"""The document of OpenAPI version 2 as protobuf, in the messages of gnostic that kubectl reads.

A JSON object with free keys is a list of named values there, and what has no message of its own is YAML.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from kubelab.openapi.v2 import openapi_pb2 as pb

Document = Mapping[str, Any]
_PLAIN = {  # keys of a schema whose values are plain
    "$ref": "_ref",
    "format": "format",
    "title": "title",
    "description": "description",
    "multipleOf": "multiple_of",
    "maximum": "maximum",
    "exclusiveMaximum": "exclusive_maximum",
    "minimum": "minimum",
    "exclusiveMinimum": "exclusive_minimum",
    "maxLength": "max_length",
    "minLength": "min_length",
    "pattern": "pattern",
    "maxItems": "max_items",
    "minItems": "min_items",
    "uniqueItems": "unique_items",
    "maxProperties": "max_properties",
    "minProperties": "min_properties",
}


def to_protobuf(document: Document) -> bytes:
    """Encode a document of version 2. KeyError for what no message has, so that nothing is lost unseen."""
    made = pb.Document(swagger=document["swagger"], info=pb.Info(**document["info"]))
    for path, item in document["paths"].items():
        _path(made.paths.path.add(name=path).value, item)
    for name, schema in document["definitions"].items():
        _schema(made.definitions.additional_properties.add(name=name).value, schema)
    for name, item in document["securityDefinitions"].items():
        key = pb.ApiKeySecurity(**{"in": item["in"]}, **{k: item[k] for k in ("type", "name", "description")})
        named = made.security_definitions.additional_properties.add(name=name)
        named.value.api_key_security.CopyFrom(key)
    for requirement in document["security"]:
        added = made.security.add()
        for name, scopes in requirement.items():
            added.additional_properties.add(name=name, value=pb.StringArray(value=scopes))
    return made.SerializeToString()


def _path(target: pb.PathItem, item: Document) -> None:
    for key, value in item.items():
        if key == "parameters":
            for parameter in value:
                _parameter(target.parameters.add().parameter, parameter)
        else:
            _operation(getattr(target, key), value)


def _operation(target: pb.Operation, item: Document) -> None:
    target.description, target.operation_id = item["description"], item["operationId"]
    for key in ("tags", "produces", "consumes", "schemes"):
        getattr(target, key).extend(item[key])
    for parameter in item.get("parameters", ()):
        _parameter(target.parameters.add().parameter, parameter)
    for code, answer in item["responses"].items():
        response = target.responses.response_code.add(name=code).value.response
        response.description = answer["description"]
        if "schema" in answer:
            _schema(response.schema.schema, answer["schema"])
    _extensions(target, item)


def _parameter(target: pb.Parameter, item: Document) -> None:
    if item["in"] == "body":
        body = target.body_parameter
        body.MergeFrom(pb.BodyParameter(**{k: v for k, v in item.items() if k != "schema"}))
        _schema(body.schema, item["schema"])
        return
    plain = {"unique_items" if key == "uniqueItems" else key: value for key, value in item.items()}
    other = target.non_body_parameter
    if item["in"] == "path":
        other.path_parameter_sub_schema.MergeFrom(pb.PathParameterSubSchema(**plain))
    else:
        other.query_parameter_sub_schema.MergeFrom(pb.QueryParameterSubSchema(**plain))


def _schema(target: pb.Schema, item: Document) -> None:
    target.SetInParent()
    for key, value in item.items():
        if key in _PLAIN:
            setattr(target, _PLAIN[key], value)
        elif not key.startswith("x-"):
            _PARTS[key](target, value)
    _extensions(target, item)


def _extensions(target: pb.Schema | pb.Operation, item: Document) -> None:
    for key, value in item.items():
        if key.startswith("x-"):
            target.vendor_extension.add(name=key, value=_any(value))


def _any(value: object) -> pb.Any:
    return pb.Any(yaml=json.dumps(value))


def _properties(target: pb.Schema, value: Document) -> None:
    target.properties.SetInParent()
    for name, schema in value.items():
        _schema(target.properties.additional_properties.add(name=name).value, schema)


def _additional(target: pb.Schema, value: Document | bool) -> None:
    if isinstance(value, bool):
        target.additional_properties.boolean = value
    else:
        _schema(target.additional_properties.schema, value)


def _all_of(target: pb.Schema, value: list[Document]) -> None:
    for schema in value:
        _schema(target.all_of.add(), schema)


_PARTS: dict[str, Callable[[pb.Schema, Any], None]] = {
    "additionalProperties": _additional,
    "allOf": _all_of,
    "default": lambda target, value: target.default.CopyFrom(_any(value)),
    "enum": lambda target, value: target.enum.extend(_any(one) for one in value),
    "items": lambda target, value: _schema(target.items.schema.add(), value),
    "properties": _properties,
    "required": lambda target, value: target.required.extend(value),
    "type": lambda target, value: target.type.value.append(value),
}
