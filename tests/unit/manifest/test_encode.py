"""Messages to YAML and JSON as kubectl prints them, and back again."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.authentication.v1 import authentication_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.runtime import runtime_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.manifest import encode, jsonmapping
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.manifest.diagnostics import Diagnostic, ManifestError
from kubelab.apimachinery.scheme import Resource

ALWAYS_THERE = """\
apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: null
  name: web
spec:
  containers:
  - image: x
    name: app
    ports:
    - containerPort: 80
    resources: {}
status:
  conditions:
  - lastProbeTime: null
    lastTransitionTime: "2024-05-01T12:00:00Z"
    status: "True"
    type: Ready
  containerStatuses:
  - image: ""
    imageID: ""
    lastState: {}
    name: app
    ready: false
    restartCount: 0
    state:
      waiting: {}
"""


def test_what_upstream_always_prints() -> None:
    pod = core_pb2.Pod()
    pod.metadata.name = "web"
    container = pod.spec.containers.add(name="app", image="x")
    container.ports.add(containerPort=80)
    condition = pod.status.conditions.add(type="Ready", status="True")
    condition.lastTransitionTime.seconds = 1714564800
    status = pod.status.containerStatuses.add(name="app")
    status.state.waiting.SetInParent()
    assert encode.to_yaml(encode.to_dict(pod)) == ALWAYS_THERE


def test_an_empty_object() -> None:
    assert encode.to_dict(core_pb2.Pod()) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"creationTimestamp": None},
        "spec": {"containers": None},
        "status": {},
    }
    assert encode.to_dict(core_pb2.ReplicationController())["status"] == {"replicas": 0}
    assert encode.to_dict(core_pb2.Service())["status"] == {"loadBalancer": {}}


def test_json_as_go_writes_it() -> None:
    cm = core_pb2.ConfigMap(data={"b": "<&>", "a": "\u00e9"})
    assert (
        encode.to_json(encode.to_dict(cm))
        == """\
{
    "apiVersion": "v1",
    "data": {
        "a": "\u00e9",
        "b": "\\u003c\\u0026\\u003e"
    },
    "kind": "ConfigMap",
    "metadata": {
        "creationTimestamp": null
    }
}
"""
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "a: plain"),
        ("n", 'a: "n"'),
        ("yes", 'a: "yes"'),
        ("", 'a: ""'),
        ("5", 'a: "5"'),
        ("1:30", 'a: "1:30"'),
        ("2024-01-01T00:00:00Z", 'a: "2024-01-01T00:00:00Z"'),
        ("null", 'a: "null"'),
        ("*", "a: '*'"),
        ("a: b", "a: 'a: b'"),
        ("one\ntwo\n", "a: |\n    one\n    two"),
        ("one\ntwo", "a: |-\n    one\n    two"),
        ("x" * 200, "a: " + "x" * 200),
        ("word " * 20 + "end", "a: " + "word " * 15 + "word\n    word word word word end"),
        ("- " + "word " * 20, "a: '- " + "word " * 14 + "word\n    word word word word word '"),
        ("\a" + "word " * 20, 'a: "\\a' + "word " * 14 + 'word\n    word word word word word "'),
    ],
)
def test_quotes_in_yaml(text: str, line: str) -> None:
    printed = encode.to_yaml(encode.to_dict(core_pb2.ConfigMap(data={"a": text})))
    assert f"data:\n  {line}\n" in printed


def test_json_is_escaped_as_gos() -> None:
    printed = encode.to_json({"a": "<\u2028>&\u2029\u00e9"})
    assert printed == '{\n    "a": "\\u003c\\u2028\\u003e\\u0026\\u2029\u00e9"\n}\n'


def test_lists() -> None:
    listed = encode.list_to_dict([core_pb2.Namespace(), core_pb2.Pod()])
    assert [*listed] == ["apiVersion", "items", "kind", "metadata"]
    assert [item["kind"] for item in listed["items"]] == ["Namespace", "Pod"]


# --- round trips of objects with anything in them

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
INTEGERS = {
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
}
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    **INTEGERS,
    FieldDescriptor.TYPE_STRING: TEXT,
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
}
QUANTITIES = st.sampled_from(["0", "1", "500m", "64Mi", "1e3", "0.5"])
SECONDS = st.integers(-(2**30), 2**33)


@st.composite
def messages(draw: st.DrawFn, kind: type[Message], depth: int = 0) -> Message:
    """Draw a message with some of its fields set; deep ones stay small."""
    made = kind()
    descriptor = made.DESCRIPTOR
    if descriptor.full_name == jsonmapping.QUANTITY:
        made.string = draw(QUANTITIES)  # type: ignore[attr-defined]
        return made
    if descriptor.full_name in (jsonmapping.TIME, jsonmapping.MICRO_TIME):
        made.seconds = draw(SECONDS)  # type: ignore[attr-defined]
        if descriptor.full_name == jsonmapping.MICRO_TIME:
            made.nanos = draw(st.integers(0, 999_999)) * 1000  # type: ignore[attr-defined]
        return made
    if descriptor.full_name == jsonmapping.INT_OR_STRING:
        if draw(st.booleans()):
            made.type, made.strVal = 1, draw(TEXT)  # type: ignore[attr-defined]
        else:
            made.intVal = draw(INTEGERS[FieldDescriptor.TYPE_INT32])  # type: ignore[attr-defined]
        return made
    if descriptor.full_name in (jsonmapping.FIELDS, jsonmapping.RAW_EXTENSION):
        name = descriptor.fields[0].name
        setattr(made, name, draw(st.sampled_from([b"", b"{}", b'{"f:spec":{}}', b'{"a":[1,"b",null]}'])))
        return made
    fields = draw(st.sets(st.sampled_from([*descriptor.fields]), max_size=4)) if descriptor.fields else set()
    for field in sorted(fields, key=lambda f: f.number):
        fill(draw, made, field, depth)
    return made


def class_of(descriptor: Any) -> type[Message]:
    return message_factory.GetMessageClass(descriptor)


def fill(draw: st.DrawFn, made: Any, field: Any, depth: int) -> None:
    kind: Descriptor | None = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        value = kind.fields_by_name["value"]
        for key in draw(st.sets(TEXT, max_size=2)):
            if value.message_type is not None:
                inner: Any = draw(messages(class_of(value.message_type), depth + 1))
                getattr(made, field.name)[key].CopyFrom(inner)
            else:
                getattr(made, field.name)[key] = draw(SCALARS[value.type])
    elif field.is_repeated:
        for _ in range(draw(st.integers(0, 2))):
            if kind is not None:
                getattr(made, field.name).append(draw(messages(class_of(kind), depth + 1)))
            else:
                getattr(made, field.name).append(draw(SCALARS[field.type]))
    elif kind is not None:
        if depth < 6:
            getattr(made, field.name).CopyFrom(draw(messages(class_of(kind), depth + 1)))
            getattr(made, field.name).SetInParent()
    else:
        setattr(made, field.name, draw(SCALARS[field.type]))


OBJECTS = st.sampled_from(scheme.ALL).flatmap(lambda resource: messages(resource.message))


@settings(max_examples=150, deadline=None)
@given(OBJECTS)
def test_round_trip(obj: Message) -> None:
    """What is printed is read as an object that prints the same: empty parts alone may appear."""
    document = encode.to_dict(obj)
    for text in (encode.to_yaml(document), encode.to_json(document)):
        (again,) = decode(text, "f")
        assert encode.to_dict(again.obj) == document
        assert without_empty(again.obj) == without_empty(obj)


@settings(max_examples=50, deadline=None)
@given(st.lists(OBJECTS, min_size=2, max_size=3))
def test_round_trip_of_lists(objects: list[Message]) -> None:
    listed = encode.list_to_dict(objects)
    again = [encode.to_dict(d.obj) for d in decode(encode.to_yaml(listed), "f")]
    assert again == listed["items"]
    many = encode.to_yaml([encode.to_dict(obj) for obj in objects])
    assert [encode.to_dict(d.obj) for d in decode(many, "f")] == listed["items"]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    found: tuple[Diagnostic, ...] = ()
    try:
        decode("apiVersion: v1\nkind: Pod\n" + text, "f")
    except ManifestError as err:
        found = err.diagnostics
    assert all(p.source == "f" and p.message for p in found)


def without_empty(obj: Message) -> dict[str, Any]:
    """Give what a message says, without parts that say nothing."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            cleaned = {k: clean(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType]
            return {k: v for k, v in cleaned.items() if v not in ({}, None)}  # pyright: ignore[reportUnknownVariableType]
        return [clean(v) for v in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]

    return clean(encode.to_dict(obj))


def test_resources_name_themselves() -> None:
    def named(resource: Resource[Message]) -> tuple[str, str]:
        document = json.loads(encode.to_json(encode.to_dict(resource.message())))
        return document["apiVersion"], document["kind"]

    assert [named(r) for r in scheme.ALL] == [(r.api_version, r.kind) for r in scheme.ALL]


@pytest.mark.parametrize("text", ["a\n\n", "a\n", "\n", "a\n\n\n", "...\n", "a\n...\n"])
def test_a_document_has_no_end_mark(text: str) -> None:
    written = encode.to_yaml({"data": {"k": text}})
    assert not written.endswith("\n...\n")
    assert yaml.safe_load(written) == {"data": {"k": text}}


def test_json_inside_of_a_message_is_json() -> None:
    revision = apps_pb2.ControllerRevision(data=runtime_pb2.RawExtension(raw=b'{"spec":{"replicas":3}}'), revision=2)
    assert encode.message_to_dict(revision) == {
        "metadata": {"creationTimestamp": None},
        "data": {"spec": {"replicas": 3}},
        "revision": 2,
    }


def test_a_list_in_a_map_is_a_list() -> None:
    user = authentication_pb2.UserInfo(username="jane")
    user.extra["scopes"].items.extend(["a", "b"])
    assert encode.message_to_dict(user) == {"username": "jane", "extra": {"scopes": ["a", "b"]}}


def test_a_time_that_is_empty_is_null() -> None:
    made = apps_pb2.Deployment()
    made.spec.template.metadata.creationTimestamp.SetInParent()  # what null is read as
    assert encode.to_dict(made)["spec"]["template"]["metadata"]["creationTimestamp"] is None
