"""The object of a request: how it is read."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.meta import meta_of
from kubelab.apiserver import limits
from kubelab.apiserver.strategies import wellformed

M = TypeVar("M", bound=Message)


def decode(message: type[M], wanted: AnyMessage) -> M:
    """Read the object of a request; BadRequest when it is of another kind or no object at all, TooLarge for one of too
    many entries, Invalid for times that no reader could write."""
    expected = message.DESCRIPTOR
    if wanted.type_url != scheme.TYPE_URL_PREFIX + expected.full_name:
        got = wanted.type_url.rpartition(".")[2] or "nothing"
        raise errors.BadRequest(f"the object provided is unrecognized: got {got}, expected {expected.name}")
    try:
        obj = message.FromString(wanted.value)
    except (DecodeError, RecursionError) as err:
        raise errors.BadRequest(f"the object provided is unrecognized: {err}") from err
    limits.check_object(obj, len(wanted.value))
    if complaints := wellformed.validate(obj):
        raise errors.invalid(expected.name, meta_of(obj).name, complaints)
    return obj
