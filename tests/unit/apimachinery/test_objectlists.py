"""Objects that are decoded together are what they are when each is decoded alone."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import objectlists, scheme
from kubelab.apimachinery.objectlists import GROUP, decode_all
from kubelab.apimachinery.scheme import Resource


def config_map(name: str, data: str) -> bytes:
    obj = core_pb2.ConfigMap(data={"a": data})
    obj.metadata.name = name
    return obj.SerializeToString()


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=300)), max_size=6))
def test_together_as_alone(contents: list[tuple[str, str]]) -> None:
    values = [config_map(name, data) for name, data in contents]
    assert decode_all(core_pb2.ConfigMap, values) == [core_pb2.ConfigMap.FromString(value) for value in values]


@pytest.mark.parametrize("count", [0, 1, GROUP - 1, GROUP, GROUP + 1, 3 * GROUP])
def test_every_object_is_there_and_in_order(count: int) -> None:
    decoded = decode_all(core_pb2.ConfigMap, [config_map(str(n), "x") for n in range(count)])
    assert [obj.metadata.name for obj in decoded] == [str(n) for n in range(count)]


def test_one_may_be_changed_and_outlives_the_others() -> None:
    decoded = decode_all(core_pb2.ConfigMap, [config_map(str(n), "x") for n in range(3)])
    kept = decoded[1]
    kept.data["b"] = "y"
    del decoded
    assert dict(kept.data) == {"a": "x", "b": "y"}


def test_a_kind_without_a_list_is_decoded_too() -> None:
    values = [meta_pb2.Status(message=str(n)).SerializeToString() for n in range(3)]
    assert [status.message for status in decode_all(meta_pb2.Status, values)] == ["0", "1", "2"]


@pytest.mark.parametrize("values", [[b"\x0a\xff"], [config_map("a", "x"), b"\x0a\xff"]])
def test_bytes_that_are_no_object_are_refused(values: list[bytes]) -> None:
    with pytest.raises(DecodeError):
        decode_all(core_pb2.ConfigMap, values)


@pytest.mark.parametrize("resource", [r for r in scheme.ALL if "list" in r.verbs], ids=str)
def test_every_kind_that_is_listed_has_its_list(resource: Resource[Message]) -> None:
    found = objectlists._list_of(resource.message)
    assert [field.name for field in found.DESCRIPTOR.fields] == ["metadata", "items"]
