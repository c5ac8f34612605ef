"""The types of a schema's fields, as server-side apply needs them."""

from __future__ import annotations

from kubelab.apimachinery.fieldsets import types
from kubelab.apimachinery.fieldsets.types import ANY, ListType, MapType, Struct, Type
from kubelab.apiserver.customresources.schema import Schema

_PLAIN = {"string": types.STRING, "integer": types.NUMERIC, "number": types.NUMERIC, "boolean": types.BOOLEAN}


def of_object(schema: Schema, metadata: Type) -> Type:
    """Give the type of a kind's objects; a kind without known fields is a map of anything."""
    own: dict[str, Type] = {"apiVersion": types.STRING, "kind": types.STRING, "metadata": metadata}
    fields = {key: _type(below) for key, below in schema.properties.items() if key not in own}
    return Struct({**fields, **own}, others=ANY if schema.preserve_unknown else None)


def _type(schema: Schema) -> Type:
    if schema.int_or_string:
        return types.PLAIN
    if schema.type in _PLAIN:
        return _PLAIN[schema.type]
    if schema.type == "array" and schema.items is not None:
        atomic = schema.list_type not in ("set", "map")
        return ListType(_type(schema.items), schema.list_keys if schema.list_type == "map" else (), atomic)
    if schema.type == "object" or schema.properties:
        atomic = schema.map_type == "atomic"
        if schema.values is not None:
            return MapType(_type(schema.values), atomic)
        if schema.properties or schema.preserve_unknown or schema.any_values:
            fields = {key: _type(below) for key, below in schema.properties.items()}
            others = ANY if schema.preserve_unknown or schema.any_values else None
            return Struct(fields, atomic, others)
        return Struct({}, atomic)
    return ANY
