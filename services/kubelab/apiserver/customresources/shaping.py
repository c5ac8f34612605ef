"""What a schema does to a value before it is validated: unknown fields go, defaults come in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from kubelab.apimachinery.patch.values import JSONArray, JSONObject, copied
from kubelab.apiserver.customresources.schema import NOTHING, Schema

OWN_FIELDS = frozenset(("apiVersion", "kind", "metadata"))
"""What every object has, without its schema saying so."""


def prune(value: JSONObject, schema: Schema) -> list[str]:
    """Take away the fields that a schema does not have; gives their paths. ``value`` is a whole object."""
    return list(_pruned(value, schema, "", OWN_FIELDS))


def _pruned(value: Any, schema: Schema, path: str, kept: frozenset[str] = frozenset()) -> Iterator[str]:
    if isinstance(value, list):
        if schema.items is not None:
            for at, part in enumerate(cast(JSONArray, value)):
                yield from _pruned(part, schema.items, f"{path}[{at}]")
        return
    if not isinstance(value, dict):
        return
    body = cast(JSONObject, value)
    if schema.embedded:
        kept = OWN_FIELDS
    for key in list(body):
        if key in kept:
            continue
        below = schema.properties.get(key) or schema.values
        here = f"{path}.{key}" if path else key
        if below is not None:
            yield from _pruned(body[key], below, here)
        elif not (schema.any_values or schema.preserve_unknown):
            del body[key]
            yield here


def fill_defaults(value: Any, schema: Schema) -> None:
    """Fill in the defaults of fields that are missing, or null where null is not allowed."""
    if not schema.has_defaults:
        return
    if isinstance(value, list):
        if schema.items is not None:
            for part in cast(JSONArray, value):
                fill_defaults(part, schema.items)
        return
    if not isinstance(value, dict):
        return
    body = cast(JSONObject, value)
    for key, below in schema.properties.items():
        if below.default is NOTHING:
            continue
        if key not in body or (body[key] is None and not below.nullable):
            body[key] = copied(below.default)
    for key in body:
        below = schema.properties.get(key) or schema.values
        if below is None:
            continue
        if body[key] is None and not below.nullable and below.default is not NOTHING:
            body[key] = copied(below.default)
        fill_defaults(body[key], below)


def drop_nulls(value: Any, schema: Schema) -> None:
    """Take away the nulls of fields that may not be null and have no default, which would take their place."""
    if isinstance(value, list):
        if schema.items is not None:
            for part in cast(JSONArray, value):
                drop_nulls(part, schema.items)
        return
    if not isinstance(value, dict):
        return
    body = cast(JSONObject, value)
    for key in list(body):
        below = schema.properties.get(key) or schema.values
        if below is None:
            continue
        if body[key] is None and not below.nullable and below.default is NOTHING:
            del body[key]
        else:
            drop_nulls(body[key], below)
