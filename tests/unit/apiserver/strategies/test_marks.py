"""Fields that the contract marks: stored with a warning, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.tables import marks as table
from kubelab.api.tables import spelling
from kubelab.apimachinery import marks, scheme
from kubelab.rpc import warnings
from tests.unit.apiserver.strategies.answers import RULES

Way = tuple[FieldDescriptor, ...]


def ways(descriptor: Descriptor, way: Way = ()) -> Iterator[Way]:
    """Every way from an object to a field that is marked, but for what is below one, and the status."""
    for field in descriptor.fields:
        kind = field.message_type
        if not way and field.name == "status":
            continue
        if field.full_name in table.STORED or field.full_name in table.REFUSED:
            yield (*way, field)
        elif kind is not None and not kind.GetOptions().map_entry and kind not in [f.message_type for f in way]:
            yield from ways(kind, (*way, field))


def fill(message: Any, way: Way) -> str:
    """Set the field at the end of a way to something; give its path as people know it."""
    *above, last = way
    path: list[str] = []
    for field in above:
        message = getattr(message, field.name)
        if field.is_repeated:
            message = message.add()
        if field.full_name not in spelling.INLINE:
            path.append(field.name + ("[0]" if field.is_repeated else ""))
    value = getattr(message, last.name)
    if last.message_type is not None and last.message_type.GetOptions().map_entry:
        value["cpu"].string = "1"
    elif last.message_type is not None:
        (value.add() if last.is_repeated else value).SetInParent()
    elif last.is_repeated:
        value.append("x")
    else:
        setattr(message, last.name, {bool: True, int: 7, str: "x"}[type(value)])
    return ".".join([*path, last.name])


EVERY = [(r, way) for r in scheme.ALL if r.plural in RULES for way in ways(cast(Descriptor, r.message.DESCRIPTOR))]


@pytest.mark.parametrize(
    ("resource", "way"), EVERY, ids=lambda x: ".".join(f.name for f in x) if isinstance(x, tuple) else x.kind
)
def test_a_marked_field_is_stored_with_a_warning_or_refused(resource: scheme.Resource[Message], way: Way) -> None:
    obj, rules = resource.message(), RULES[resource.plural]
    path = fill(obj, way)
    told = [text for text in rules.warnings(obj) if marks.STORED in text]
    rules.default(obj)
    rules.prepare_for_create(obj)
    refused = [cause for cause in rules.validate(obj) if cause.field == path and cause.message.startswith("Forbidden:")]
    if reason := table.REFUSED.get(way[-1].full_name):
        assert told == []
        assert [cause.message for cause in refused] == [f"Forbidden: {reason}"]
    else:
        assert told == [f"{path}: kubelab 0.1 stores this field and does not act on it"]
        assert refused == []


def test_every_mark_is_of_a_field_that_a_writer_can_set() -> None:
    met = {way[-1].full_name for _, way in EVERY}
    assert met == {*table.STORED, *table.REFUSED}


def test_a_field_is_either_stored_or_refused() -> None:
    assert not table.STORED & table.REFUSED.keys()


def test_the_status_is_the_systems_and_not_warned_about() -> None:
    pod = core_pb2.Pod()
    pod.status.containerStatuses.add().resources.claims.add(name="gpu")
    assert marks.stored(pod) == [] == marks.refused(pod)


def test_what_is_not_set_is_not_warned_about() -> None:
    pod = core_pb2.Pod(spec=core_pb2.PodSpec(containers=[core_pb2.Container(name="c")]))
    assert marks.stored(pod) == [] == marks.refused(pod)


def test_the_warnings_of_one_object_are_bounded() -> None:
    pod = core_pb2.Pod()
    for _ in range(marks.MAX_MARKED + 1):
        pod.spec.containers.add(restartPolicy="Always")
    assert len(marks.stored(pod)) == marks.MAX_MARKED
    told = warnings.metadata(RULES["pods"].warnings(pod))
    assert sum(len(text) for _, text in told) <= warnings.MAX_BYTES
