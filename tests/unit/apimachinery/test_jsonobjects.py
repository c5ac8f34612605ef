"""Objects that the api-server reads from JSON."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import jsonobjects
from kubelab.apimachinery.jsonobjects import DecodingError
from kubelab.apimachinery.manifest.encode import to_dict
from tests.unit.manifest.test_encode import OBJECTS


@settings(max_examples=150, deadline=None)
@given(OBJECTS)
def test_what_is_written_is_read_as_the_same_message(obj: Message) -> None:
    """A patch that changes nothing must write nothing: not even an empty part may appear or go."""
    document = to_dict(obj)
    again, unknown = jsonobjects.decode(document, type(obj))
    assert unknown == []
    assert to_dict(again) == document
    jsonobjects.align(again, obj)
    assert again == obj


def test_an_empty_time_is_kept_where_json_cannot_say_it() -> None:
    old, new = core_pb2.Pod(), core_pb2.Pod()
    old.metadata.deletionTimestamp.SetInParent()
    new.metadata.SetInParent()
    jsonobjects.align(new, old)
    assert new == old


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"spec": {"containers": [{"name": 5}]}},
            "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string",
        ),
        (
            {"spec": {"containers": {}}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            {"metadata": {"labels": []}},
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        ({"spec": "x"}, "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"),
        (
            {"spec": {"priority": 2**40}},
            "json: cannot unmarshal number 1099511627776 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"spec": {"hostNetwork": "yes"}},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
        ),
        (
            {"metadata": {"deletionTimestamp": "today"}},
            'parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006"',
        ),
        (
            {"spec": {"containers": [{"resources": {"limits": {"cpu": "much"}}}]}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ],
)
def test_a_wrong_type_is_told_as_go_tells_it(body: dict[str, Any], message: str) -> None:
    with pytest.raises(DecodingError) as caught:
        jsonobjects.decode(body, core_pb2.Pod)
    assert str(caught.value) == message


def test_unknown_fields_are_told_with_their_places() -> None:
    body = {"apiVersion": "v1", "spec": {"containers": [{"name": "a"}, {"nme": "b"}], "kind": "x"}, "Spec": {}}
    obj, unknown = jsonobjects.decode(body, core_pb2.Pod)
    assert unknown == ['unknown field "spec.containers[1].nme"', 'unknown field "spec.kind"', 'unknown field "Spec"']
    assert [c.name for c in obj.spec.containers] == ["a", ""]


def test_null_is_nothing_and_whole_floats_are_numbers() -> None:
    obj, _ = jsonobjects.decode(
        {"metadata": {"labels": {"a": None}}, "spec": {"priority": 2.0, "nodeName": None}}, core_pb2.Pod
    )
    assert (dict(obj.metadata.labels), obj.spec.priority, obj.spec.nodeName) == ({"a": ""}, 2, "")
