"""Times that no reader could write are refused in every field of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from kubelab.api.tables import spelling
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.manifest import jsonmapping
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apiserver.endpoints.decoding import decode
from kubelab.apiserver.strategies import wellformed

TIMES = (jsonmapping.TIME, jsonmapping.MICRO_TIME)
BEFORE, AFTER = jsonmapping.MIN_SECONDS - 1, jsonmapping.MAX_SECONDS + 1
OUTSIDE = [(BEFORE, 0), (AFTER, 0), (2**63 - 1, 0), (-(2**63), 0), (0, -1), (0, 10**9)]
INSIDE = [(jsonmapping.MIN_SECONDS, 0), (jsonmapping.MAX_SECONDS, 999_999_999), (0, 0)]


def paths(descriptor: Any, path: tuple[str, ...] = (), above: tuple[Any, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The names of fields that lead to every time of a type; one that contains itself is followed once."""
    for field in descriptor.fields:
        kind = field.message_type
        if kind is None or kind.GetOptions().map_entry or kind in above:
            continue
        if kind.full_name in TIMES:
            yield (*path, field.name)
        else:
            yield from paths(kind, (*path, field.name), (*above, descriptor))


EVERY = [(r, path) for r in scheme.ALL for path in paths(r.message.DESCRIPTOR)]


def with_time(message: Message, path: tuple[str, ...], seconds: int, nanos: int) -> str:
    """Set a time, and give the path by which people know it."""
    told: list[str] = []
    here: Any = message
    for name in path:
        field = here.DESCRIPTOR.fields_by_name[name]
        here = getattr(here, name)
        if field.is_repeated:
            here = here.add()
        if field.full_name not in spelling.INLINE:
            told.append(f"{name}[0]" if field.is_repeated else name)
    here.seconds, here.nanos = seconds, nanos
    here.SetInParent()
    return ".".join(told)


@pytest.mark.parametrize(
    ("resource", "path"), EVERY, ids=lambda told: ".".join(told) if isinstance(told, tuple) else told.kind
)
def test_every_time_of_every_kind(resource: scheme.Resource[Message], path: tuple[str, ...]) -> None:
    for seconds, nanos in OUTSIDE:
        obj = resource.message()
        where = with_time(obj, path, seconds, nanos)
        assert [cause.field for cause in wellformed.validate(obj)] == [where]
        packed = AnyMessage(type_url=scheme.TYPE_URL_PREFIX + obj.DESCRIPTOR.full_name, value=obj.SerializeToString())
        with pytest.raises(errors.Invalid, match=r"must be a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z"):
            decode(resource.message, packed)
        assert "<invalid>" in str(message_to_dict(obj))  # what was stored before is shown all the same
    for seconds, nanos in INSIDE:
        obj = resource.message()
        with_time(obj, path, seconds, nanos)
        assert wellformed.validate(obj) == []
        assert "<invalid>" not in str(message_to_dict(obj))
