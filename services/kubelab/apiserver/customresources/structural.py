"""Whether the schema of a CustomResourceDefinition is structural, in the words of apiextensions-apiserver
(https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.patch.values import JSONObject
from kubelab.apiserver.customresources import shaping, validate
from kubelab.apiserver.customresources.patterns import PatternError, compiled
from kubelab.apiserver.customresources.schema import compile_schema
from kubelab.apiserver.strategies import causes

MAX_SCHEMAS = 20_000  # parts of one schema
ROOT, ITEM, FIELD = "at the root", "for specified array items", "for specified object fields"
TYPES = ("array", "boolean", "integer", "number", "object", "string")
_EMBEDDED = "must be object if x-kubernetes-embedded-resource is true"
_NESTED = {  # what a schema that only adds conditions must not say
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_UNSUPPORTED = {
    "$ref": "$ref is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "patternProperties": "patternProperties is not supported",
    "additionalItems": "additionalItems is not supported",
    "id": "id is not supported",
}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def validate_schema(raw: JSONObject, path: str) -> list[Cause]:
    """Give all complaints about the schema of a version. ``path`` is where it stands."""
    if (count := sum(1 for _ in _all(raw))) > MAX_SCHEMAS:
        return [causes.forbidden(path, f"must have at most {MAX_SCHEMAS} parts, has {count}")]
    found = [*_supported(raw, path), *_structure(raw, ROOT, path), *_complete(raw, raw, path)]
    if not found:
        found = list(_defaults(raw, path))
    return sorted(dict.fromkeys(found), key=lambda cause: (cause.field, cause.message))


def _all(raw: JSONObject) -> Iterator[JSONObject]:
    pending = [raw]
    while pending:
        one = pending.pop()
        yield one
        pending += [below for _, below in _parts(one)]


def _parts(raw: JSONObject) -> Iterator[tuple[str, JSONObject]]:
    """Give every schema right below one, with its place."""
    for key in ("properties",):
        for name, below in raw.get(key, {}).items():
            yield f"{key}[{name}]", below
    for key in ("items", "additionalProperties", "not"):
        if isinstance(raw.get(key), dict):
            yield key, raw[key]
    for key in ("allOf", "anyOf", "oneOf"):
        for at, below in enumerate(raw.get(key, ())):
            yield f"{key}[{at}]", below


def _supported(raw: JSONObject, path: str) -> Iterator[Cause]:
    """Complain of what no schema of the server may have, wherever it stands."""
    for key, why in _UNSUPPORTED.items():
        if raw.get(key):
            yield causes.forbidden(f"{path}.{key}", why)
    if raw.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield causes.forbidden(f"{path}.uniqueItems", why)
    if raw.get("type") and raw["type"] not in TYPES:
        yield causes.unsupported(f"{path}.type", raw["type"], TYPES)
    if isinstance(raw.get("items"), list):
        yield causes.forbidden(f"{path}.items", "items must be a schema object and not an array")
    more, properties = raw.get("additionalProperties"), raw.get("properties")
    if properties and more is not None and more is not True:
        yield causes.forbidden(
            f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive"
        )
    if more is False and not properties:
        yield causes.forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    yield from _list_and_map_types(raw, path)
    for place, below in _parts(raw):
        yield from _supported(below, f"{path}.{place}")


def _list_and_map_types(raw: JSONObject, path: str) -> Iterator[Cause]:
    kind, keys = raw.get("x-kubernetes-list-type"), raw.get("x-kubernetes-list-map-keys")
    where, keys_path = f"{path}.x-kubernetes-list-type", f"{path}.x-kubernetes-list-map-keys"
    if kind is not None:
        if kind not in ("atomic", "set", "map"):
            yield causes.unsupported(where, kind, ("atomic", "set", "map"))
        elif raw.get("type") != "array":
            yield causes.invalid(
                f"{path}.type", raw.get("type", ""), "must be array if x-kubernetes-list-type is specified"
            )
    if keys and kind != "map":
        yield causes.invalid(where, kind, "must be map if x-kubernetes-list-map-keys is non-empty")
    if kind == "map":
        if not keys:
            yield causes.required(keys_path, "must not be empty if x-kubernetes-list-type is map")
        items = cast(JSONObject, raw.get("items") or {})
        if items.get("type") != "object":
            yield causes.invalid(
                f"{path}.items.type",
                items.get("type", ""),
                "must be object if parent array's x-kubernetes-list-type is map",
            )
        for at, key in enumerate(keys or ()):
            below = items.get("properties", {}).get(key)
            if below is None:
                why = "entries must all be names of item properties"
                yield causes.invalid(f"{keys_path}[{at}]", key, why)
            elif below.get("default") is None and key not in items.get("required", ()):
                why = (
                    "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required "
                    "property"
                )
                yield causes.required(f"{path}.items.properties[{key}].default", why)
        if keys and len(set(keys)) < len(keys):
            yield causes.invalid(keys_path, list(keys), "must not contain duplicate entries")
    map_type = raw.get("x-kubernetes-map-type")
    if map_type is not None:
        if map_type not in ("atomic", "granular"):
            yield causes.unsupported(f"{path}.x-kubernetes-map-type", map_type, ("atomic", "granular"))
        elif raw.get("type") != "object":
            yield causes.invalid(
                f"{path}.type", raw.get("type", ""), "must be object if x-kubernetes-map-type is specified"
            )


def _structure(raw: JSONObject, level: str, path: str) -> Iterator[Cause]:
    kind, items, more = raw.get("type", ""), raw.get("items"), raw.get("additionalProperties")
    int_or_string = raw.get("x-kubernetes-int-or-string")
    preserve, embedded = raw.get("x-kubernetes-preserve-unknown-fields"), raw.get("x-kubernetes-embedded-resource")
    if kind == "array" and items is None:
        yield causes.required(f"{path}.items", "must be specified")
    if isinstance(items, dict):
        yield from _structure(cast(JSONObject, items), ITEM, f"{path}.items")
    for key, below in raw.get("properties", {}).items():
        yield from _structure(below, FIELD, f"{path}.properties[{key}]")
    if more is not None and level == ROOT:
        yield causes.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if isinstance(more, dict):
        yield from _structure(cast(JSONObject, more), FIELD, f"{path}.additionalProperties")
    if int_or_string and preserve:
        why = "must be false if x-kubernetes-int-or-string is true"
        yield causes.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", True, why)
    if int_or_string and embedded:
        why = "must be false if x-kubernetes-int-or-string is true"
        yield causes.invalid(f"{path}.x-kubernetes-embedded-resource", True, why)
    yield from _conditions(raw, path, int_or_string=bool(int_or_string))
    if embedded and kind != "object":
        yield causes.invalid(f"{path}.type", kind, _EMBEDDED) if kind else causes.required(f"{path}.type", _EMBEDDED)
    elif not kind and not int_or_string and not preserve:
        yield causes.required(f"{path}.type", f"must not be empty {level}")
    if level == ROOT and kind and kind != "object":
        yield causes.invalid(f"{path}.type", kind, "must be object at the root")
    if embedded and not preserve and not raw.get("properties"):
        why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        yield causes.required(f"{path}.properties", why)
    if level == ROOT or embedded:
        yield from _type_meta(raw, level, path)


def _type_meta(raw: JSONObject, level: str, path: str) -> Iterator[Cause]:
    """Complain of a schema for the fields that every object has."""
    properties = raw.get("properties", {})
    for key in ("kind", "apiVersion"):
        if key in properties and properties[key].get("type") != "string":
            yield causes.invalid(f"{path}.properties[{key}].type", properties[key].get("type", ""), "must be string")
    metadata = properties.get("metadata")
    if metadata is None:
        return
    where = f"{path}.properties[metadata]"
    if metadata.get("type") != "object":
        yield causes.invalid(f"{where}.type", metadata.get("type", ""), "must be object")
    allowed = set(metadata.get("properties", {})) <= {"name", "generateName"}
    if level == ROOT and not (allowed and set(metadata) <= {"type", "properties", "description"}):
        why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield causes.forbidden(where, why)


def _conditions(raw: JSONObject, path: str, *, int_or_string: bool = False) -> Iterator[Cause]:
    """Complain of conditions that say what only a schema itself may say."""
    for key in ("anyOf", "allOf", "oneOf"):
        for at, below in enumerate(raw.get(key, ())):
            if int_or_string and key == "anyOf" and raw[key] == _INT_OR_STRING:
                continue
            skip = int_or_string and key == "allOf" and at == 0 and below.get("anyOf") == _INT_OR_STRING
            yield from _nested(below, f"{path}.{key}[{at}]", skip_any_of=skip)
    if isinstance(raw.get("not"), dict):
        yield from _nested(raw["not"], f"{path}.not")
    if pattern := raw.get("pattern"):
        try:
            compiled(pattern)
        except PatternError as err:
            why = f"must be a valid regular expression, but isn't: {err}"
            yield causes.invalid(f"{path}.pattern", pattern, why)


def _nested(raw: JSONObject, path: str, *, skip_any_of: bool = False) -> Iterator[Cause]:
    yield from _conditions({key: value for key, value in raw.items() if not (skip_any_of and key == "anyOf")}, path)
    if isinstance(raw.get("items"), dict):
        yield from _nested(raw["items"], f"{path}.items")
    for key, below in raw.get("properties", {}).items():
        yield from _nested(below, f"{path}.properties[{key}]")
    for key, why in _NESTED.items():
        if raw.get(key) is not None:
            yield causes.forbidden(f"{path}.{key}", why)
    if "metadata" in raw.get("properties", {}):
        yield causes.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _complete(raw: JSONObject, structure: Any, path: str) -> Iterator[Cause]:
    """Complain of fields that conditions speak of and the schema itself does not have."""
    for key in ("anyOf", "allOf", "oneOf"):
        for at, below in enumerate(raw.get(key, ())):
            yield from _specified(below, structure, f"{path}.{key}[{at}]", path)
    if isinstance(raw.get("not"), dict):
        yield from _specified(raw["not"], structure, f"{path}.not", path)
    for place, below in _parts(raw):
        if place.startswith(("properties[", "items", "additionalProperties")):
            yield from _complete(below, below, f"{path}.{place}")


def _specified(condition: JSONObject, structure: JSONObject, path: str, of: str) -> Iterator[Cause]:
    for key, below in condition.get("properties", {}).items():
        own = structure.get("properties", {}).get(key)
        if own is None:
            yield causes.required(f"{of}.properties[{key}]", f"because it is defined in {path}.properties[{key}]")
        else:
            yield from _specified(below, own, f"{path}.properties[{key}]", f"{of}.properties[{key}]")
    if isinstance(condition.get("items"), dict):
        if not isinstance(structure.get("items"), dict):
            yield causes.required(f"{of}.items", f"because it is defined in {path}.items")
        else:
            yield from _specified(condition["items"], structure["items"], f"{path}.items", f"{of}.items")
    for key in ("anyOf", "allOf", "oneOf"):
        for at, below in enumerate(condition.get(key, ())):
            yield from _specified(below, structure, f"{path}.{key}[{at}]", of)


def _defaults(raw: JSONObject, path: str) -> Iterator[Cause]:
    """Complain of defaults that do not fit their schema."""
    if "default" in raw:
        schema = compile_schema({key: value for key, value in raw.items() if key != "default"})
        value = {"": raw["default"]}
        if unknown := shaping.prune(value, compile_schema({"type": "object", "properties": {"": schema.raw}})):
            yield causes.invalid(
                f"{path}.default", causes.Raw(validate.shown(raw["default"])), f"unknown fields: {', '.join(unknown)}"
            )
        for cause in validate.fits(raw["default"], schema):
            where = f"{path}.default" + (f".{cause.field}" if cause.field != "<nil>" else "")
            yield Cause(where, cause.message, cause.reason)
    for place, below in _parts(raw):
        yield from _defaults(below, f"{path}.{place}")
