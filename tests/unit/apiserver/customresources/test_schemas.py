"""What structural schemas do to objects: defaults, pruning, null, lists and maps, by the cases of Kubernetes'
documentation and of apiextensions-apiserver's own tests
(https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest

from kubelab.apiserver.customresources import shaping, structural, validate
from kubelab.apiserver.customresources.schema import compile_schema

TEXT, INT, NUMBER, FLAG = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))
INT_OR_STRING = {"x-kubernetes-int-or-string": True}
ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}
OBJECT = {"type": "object"}
MISSING: Any = object()


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def array(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def values(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": schema, **more}


@dataclass(frozen=True)
class Case:
    """``spec`` has a schema; ``given`` becomes ``stored``, unless it is the same. ``pruned`` are the fields that go,
    ``wrong`` is (field, part of the message) of each complaint."""

    name: str
    spec: dict[str, Any]
    given: Any
    stored: Any = MISSING
    pruned: tuple[str, ...] = ()
    wrong: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


KEYED = array(
    {**obj(name=TEXT, port={**INT, "default": 80}, protocol=TEXT), "required": ["name"]},
    **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "port"]},
)
NULLS = obj(
    foo={**TEXT, "nullable": False, "default": "default"},
    bar={**TEXT, "nullable": True},
    baz=TEXT,
)
CASES = [
    # pruning
    Case("known fields stay", obj(a=TEXT, b=INT), {"a": "x", "b": 1}),
    Case("unknown fields go", obj(a=TEXT), {"a": "x", "b": 1}, {"a": "x"}, ("spec.b",)),
    Case("below lists", obj(l=array(obj(a=TEXT))), {"l": [{"a": "x", "b": 1}]}, {"l": [{"a": "x"}]}, ("spec.l[0].b",)),
    Case("below maps", obj(m=values(obj(a=TEXT))), {"m": {"k": {"b": 1}}}, {"m": {"k": {}}}, ("spec.m.k.b",)),
    Case("an object without properties", obj(o=OBJECT), {"o": {"a": 1}}, {"o": {}}, ("spec.o.a",)),
    Case("preserved here", {**obj(a=TEXT), **ANYTHING}, {"a": "x", "b": {"c": 1}}),
    Case(
        "preserved, pruned again below",
        {**obj(a=obj(b=TEXT)), **ANYTHING},
        {"a": {"b": "x", "c": 1}, "d": 1},
        {"a": {"b": "x"}, "d": 1},
        ("spec.a.c",),
    ),
    Case("preserved without a type", obj(any=ANYTHING), {"any": [1, {"a": None}]}),
    Case("a map of anything", obj(m={"type": "object", "additionalProperties": True}), {"m": {"a": {"b": 1}}}),
    # embedded resources
    Case(
        "an embedded resource keeps what every object has",
        obj(pod={**obj(spec=obj(x=TEXT)), "x-kubernetes-embedded-resource": True}),
        {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"x": "y", "z": 1}, "more": 1}},
        {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"x": "y"}}},
        ("spec.pod.spec.z", "spec.pod.more"),
    ),
    Case(
        "an embedded resource may keep everything",
        obj(pod={**OBJECT, **ANYTHING, "x-kubernetes-embedded-resource": True}),
        {"pod": {"apiVersion": "v1", "kind": "Pod", "more": {"a": 1}}},
    ),
    Case(
        "an embedded resource says what it is",
        obj(pod={**OBJECT, **ANYTHING, "x-kubernetes-embedded-resource": True}),
        {"pod": {"kind": "Pod"}},
        wrong=[("spec.pod.apiVersion", "must not be empty")],
    ),
    # defaults
    Case("a default", obj(a={**TEXT, "default": "5 0 * * *"}, b={**INT, "default": 1}), {}, {"a": "5 0 * * *", "b": 1}),
    Case("a value beats it", obj(a={**INT, "default": 1}), {"a": 0}),
    Case("of an object", obj(a={**obj(b=INT), "default": {"b": 2}}), {}, {"a": {"b": 2}}),
    Case("none without its object", obj(a=obj(b={**INT, "default": 2})), {}),
    Case("in an object that is there", obj(a=obj(b={**INT, "default": 2})), {"a": {}}, {"a": {"b": 2}}),
    Case(
        "a default that lets others in",
        obj(a={**obj(b={**INT, "default": 2}), "default": {}}),
        {},
        {"a": {"b": 2}},
    ),
    Case("in lists", obj(l=array(obj(b={**INT, "default": 2}))), {"l": [{}, {"b": 1}]}, {"l": [{"b": 2}, {"b": 1}]}),
    Case("in maps", obj(m=values(obj(b={**INT, "default": 2}))), {"m": {"k": {}}}, {"m": {"k": {"b": 2}}}),
    Case(
        "false, zero and nothing", obj(a={**FLAG, "default": False}, b={**INT, "default": 0}), {}, {"a": False, "b": 0}
    ),
    # null
    Case(
        "null as the documentation has it",
        NULLS,
        {"foo": None, "bar": None, "baz": None},
        {"foo": "default", "bar": None},
    ),
    Case("null that is left out", NULLS, {}, {"foo": "default"}),
    Case("null of a map's value", obj(m=values(TEXT)), {"m": {"a": None, "b": "x"}}, {"m": {"b": "x"}}),
    Case(
        "null of a map's value with a default",
        obj(m=values({**TEXT, "default": "d"})),
        {"m": {"a": None}},
        {"m": {"a": "d"}},
    ),
    Case("null in a list", obj(l=array(TEXT)), {"l": ["a", None]}, wrong=[("spec.l[1]", "must be of type string")]),
    Case("null in a list of nullable", obj(l=array({**TEXT, "nullable": True})), {"l": ["a", None]}),
    Case(
        "null of a required field",
        {**obj(a=TEXT), "required": ["a"]},
        {"a": None},
        {},
        wrong=[("spec.a", "Required value")],
    ),
    Case("null of a required nullable field", {**obj(a={**TEXT, "nullable": True}), "required": ["a"]}, {"a": None}),
    # int or string
    Case("an int", obj(p=INT_OR_STRING), {"p": 80}),
    Case("a string", obj(p=INT_OR_STRING), {"p": "80%"}),
    Case("neither", obj(p=INT_OR_STRING), {"p": True}, wrong=[("spec.p", "must be of type integer,string")]),
    Case(
        "int or string with a pattern",
        obj(p={**INT_OR_STRING, "pattern": "^[0-9]+%$"}),
        {"p": "a"},
        wrong=[("spec.p", "should match")],
    ),
    # types and bounds
    Case("a wrong type", obj(a=TEXT), {"a": 1}, wrong=[("spec.a", 'must be of type string: "integer"')]),
    Case("a whole number is a number", obj(a=NUMBER, b=INT), {"a": 1, "b": 2}),
    Case("half of an integer", obj(a=INT), {"a": 1.5}, wrong=[("spec.a", "must be of type integer")]),
    Case(
        "bounds",
        obj(a={**INT, "minimum": 1, "maximum": 10}),
        {"a": 11},
        wrong=[("spec.a", "should be less than or equal to 10")],
    ),
    Case("one of", obj(a={**TEXT, "enum": ["x", "y"]}), {"a": "z"}, wrong=[("spec.a", 'supported values: "x", "y"')]),
    Case("required", {**obj(a=TEXT), "required": ["a"]}, {}, wrong=[("spec.a", "Required value")]),
    Case("required and defaulted", {**obj(a={**TEXT, "default": "x"}), "required": ["a"]}, {}, {"a": "x"}),
    # lists and maps
    Case("a set", obj(l=array(TEXT, **{"x-kubernetes-list-type": "set"})), {"l": ["a", "b"]}),
    Case(
        "a set with the same twice",
        obj(l=array(TEXT, **{"x-kubernetes-list-type": "set"})),
        {"l": ["a", "b", "a"]},
        wrong=[("spec.l[2]", 'Duplicate value: "a"')],
    ),
    Case(
        "keys, which defaults complete",
        obj(l=KEYED),
        {"l": [{"name": "a"}, {"name": "a", "port": 81}]},
        {"l": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]},
    ),
    Case(
        "the same keys twice",
        obj(l=KEYED),
        {"l": [{"name": "a"}, {"name": "a", "port": 80}]},
        {"l": [{"name": "a", "port": 80}, {"name": "a", "port": 80}]},
        wrong=[("spec.l[1]", "Duplicate value: ")],
    ),
    Case(
        "an atomic list may repeat itself",
        obj(l=array(TEXT, **{"x-kubernetes-list-type": "atomic"})),
        {"l": ["a", "a"]},
    ),
    Case("all of", {**obj(a=INT), "allOf": [{"required": ["a"]}]}, {}, wrong=[("spec.a", "Required value")]),
    Case(
        "not",
        {**obj(a=INT), "not": {"required": ["a"]}},
        {"a": 1},
        wrong=[("<nil>", "must not validate the schema (not)")],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_objects(case: Case) -> None:
    raw = {"type": "object", "properties": {"spec": case.spec}}
    assert structural.validate_schema(raw, "schema") == []
    schema = compile_schema(raw)
    body = {"apiVersion": "example.com/v1", "kind": "Thing", "spec": copy.deepcopy(case.given)}
    pruned = shaping.prune(body, schema)
    shaping.drop_nulls(body, schema)
    shaping.fill_defaults(body, schema)
    assert body["spec"] == (case.given if case.stored is MISSING else case.stored)
    assert tuple(pruned) == case.pruned
    found = [(cause.field, cause.message) for cause in validate.validate(body, schema)]
    assert [place for place, _ in found] == [place for place, _ in case.wrong]
    for (_, message), (_, part) in zip(found, case.wrong, strict=True):
        assert part in message
    again = copy.deepcopy(body)
    shaping.fill_defaults(again, schema)
    assert again == body


NOT_STRUCTURAL: list[tuple[dict[str, Any], str, str]] = [
    (
        {"properties": {"a": TEXT}},
        "schema.properties[spec].type",
        "Required value: must not be empty for specified object fields",
    ),
    (obj(a={}), "schema.properties[spec].properties[a].type", "Required value"),
    (
        array({}),
        "schema.properties[spec].items.type",
        "Required value: must not be empty for specified array items",
    ),
    (
        {**obj(a=TEXT), "additionalProperties": TEXT},
        "schema.properties[spec].additionalProperties",
        "additionalProperties and properties are mutual exclusive",
    ),
    (
        obj(a={**INT_OR_STRING, **ANYTHING}),
        "schema.properties[spec].properties[a].x-kubernetes-preserve-unknown-fields",
        "must be false if x-kubernetes-int-or-string is true",
    ),
    (
        obj(a={**TEXT, "x-kubernetes-embedded-resource": True}),
        "schema.properties[spec].properties[a].type",
        "must be object if x-kubernetes-embedded-resource is true",
    ),
    (obj(a={**TEXT, "default": 1}), "schema.properties[spec].properties[a].default", "must be of type string"),
    (obj(a={**TEXT, "default": None}), "schema.properties[spec].properties[a].default", "must be of type string"),
    (
        obj(a={**obj(b=TEXT), "default": {"c": 1}}),
        "schema.properties[spec].properties[a].default",
        "unknown fields: c",
    ),
    (
        {"type": "object", "allOf": [{"properties": {"a": INT}}]},
        "schema.properties[spec].properties[a]",
        "because it is defined in",
    ),
    (
        {"type": "object", "anyOf": [{"type": "object"}]},
        "schema.properties[spec].anyOf[0].type",
        "must be empty to be structural",
    ),
    (
        array(obj(a=TEXT), **{"x-kubernetes-list-type": "map"}),
        "schema.properties[spec].x-kubernetes-list-map-keys",
        "must not be empty if x-kubernetes-list-type is map",
    ),
    (
        obj(a={**TEXT, "uniqueItems": True}),
        "schema.properties[spec].properties[a].uniqueItems",
        "uniqueItems cannot be set to true",
    ),
]


@pytest.mark.parametrize(("spec", "place", "message"), NOT_STRUCTURAL, ids=lambda x: x if isinstance(x, str) else "")
def test_schemas_that_are_not_structural(spec: dict[str, Any], place: str, message: str) -> None:
    found = structural.validate_schema({"type": "object", "properties": {"spec": spec}}, "schema")
    assert place in [cause.field for cause in found]
    assert any(message in cause.message for cause in found if cause.field == place), found
