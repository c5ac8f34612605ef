"""A structural schema, compiled once from its JSON form
(https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema).

Values are JSON as :func:`kubelab.apimachinery.patch.values.load` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubelab.apimachinery.patch.values import JSONObject

NOTHING: Any = object()
"""The default of a schema that has none."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One schema and those below it. ``raw`` is its JSON form, for what only validation looks at."""

    raw: JSONObject
    type: str = ""
    nullable: bool = False
    default: Any = NOTHING
    properties: Mapping[str, Schema] = field(default_factory=dict[str, "Schema"])
    values: Schema | None = None
    """Of a map: the schema of all values."""
    any_values: bool = False
    """Whether the object is a map whose values may be anything (``additionalProperties: true``)."""
    items: Schema | None = None
    int_or_string: bool = False
    preserve_unknown: bool = False
    embedded: bool = False
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    has_defaults: bool = False
    """Whether it or a schema below it has a default."""


def compile_schema(raw: JSONObject) -> Schema:
    """Compile a schema that is structural."""
    more = raw.get("additionalProperties")
    properties = {key: compile_schema(below) for key, below in raw.get("properties", {}).items()}
    values = compile_schema(more) if isinstance(more, dict) else None  # pyright: ignore[reportUnknownArgumentType]
    items = compile_schema(raw["items"]) if isinstance(raw.get("items"), dict) else None
    parts = [*properties.values(), *(part for part in (values, items) if part is not None)]
    return Schema(
        raw,
        type=raw.get("type", ""),
        nullable=bool(raw.get("nullable")),
        default=raw.get("default", NOTHING),
        properties=properties,
        values=values,
        any_values=more is True,
        items=items,
        int_or_string=bool(raw.get("x-kubernetes-int-or-string")),
        preserve_unknown=bool(raw.get("x-kubernetes-preserve-unknown-fields")),
        embedded=bool(raw.get("x-kubernetes-embedded-resource")),
        list_type=raw.get("x-kubernetes-list-type", ""),
        list_keys=tuple(raw.get("x-kubernetes-list-map-keys", ())),
        map_type=raw.get("x-kubernetes-map-type", ""),
        has_defaults="default" in raw or any(part.has_defaults for part in parts),
    )


NO_SCHEMA = Schema({"x-kubernetes-preserve-unknown-fields": True}, type="object", preserve_unknown=True)
