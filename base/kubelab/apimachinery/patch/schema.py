"""What patches know of a place in an object: the strategy of each field, from the contract."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from google.protobuf.descriptor import Descriptor

from kubelab.apimachinery import patchmeta
from kubelab.apimachinery.patch.errors import PatchError

MERGE, REPLACE = "merge", "replace"
_RETAIN_KEYS = "retainKeys"


class MapOf(NamedTuple):
    """A map; ``values`` is the message of its values, None for plain ones."""

    values: Descriptor | None


Schema: TypeAlias = Descriptor | MapOf | None
"""A place: an object of a message, a map, or None for a plain value."""


class Field(NamedTuple):
    """A field of an object: what is below it, and how a patch changes it."""

    schema: Schema
    strategy: str = ""
    merge_key: str = ""
    retain_keys: bool = False


_META = Field(None)  # apiVersion and kind, which messages do not have


def lookup(schema: Schema, key: str) -> Field:
    """Find a field. PatchError, in upstream's words, where there is none."""
    if isinstance(schema, MapOf):
        return Field(schema.values)
    if schema is None:
        raise PatchError("merging an object in json but data type is not map or struct, instead is: string")
    fields = patchmeta.fields(schema)
    found = fields.get(key)
    if found is None:
        folded = key.lower()
        found = next((field for name, field in fields.items() if name.lower() == folded), None)
    if found is None:
        if key in ("apiVersion", "kind"):
            return _META
        raise PatchError(f'unable to find api field in struct {schema.name} for the json field "{key}"')
    retain = _RETAIN_KEYS in found.strategies
    strategy = next((name for name in found.strategies if name != _RETAIN_KEYS), "")
    below: Schema = MapOf(found.below) if found.is_map else found.below
    return Field(below, strategy, found.merge_key, retain)
