"""The object of a request: how it is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from google.protobuf import unknown_fields
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.messages import map_value
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.patch.values import JSONObject, copied
from kubelab.apimachinery.scheme import CustomSchema, Resource
from kubelab.apiserver import limits
from kubelab.apiserver.customresources.objects import body_of
from kubelab.apiserver.strategies import wellformed

M = TypeVar("M", bound=Message)


class GroupVersionKind(NamedTuple):
    """What an object says it is: its ``apiVersion`` and ``kind``."""

    api_version: str
    kind: str


def kind_of(message: type[Message]) -> GroupVersionKind:
    """Name the kind of a message that is no resource's own: ``autoscaling/v1``, ``Scale``."""
    *_, group, version, kind = message.DESCRIPTOR.full_name.split(".")
    return GroupVersionKind(version if group in ("core", "meta") else f"{_GROUPS.get(group, group)}/{version}", kind)


# The packages of the contract whose group has another name.
_GROUPS = {
    resource.message.DESCRIPTOR.full_name.split(".")[-3]: resource.group for resource in scheme.ALL if resource.group
}


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


def unknown(obj: Message) -> list[str]:
    """Say which fields of an object this server does not know: their places and numbers, for their names it cannot
    know. JSON has no such thing, and a message of another version has."""
    return [f'unknown field "{path}"' for path in _unknown(obj, "")]


def _unknown(message: Message, path: str) -> Iterator[str]:
    for one in unknown_fields.UnknownFieldSet(message):
        yield f"{path}{one.field_number}"
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if (values := map_value(field)) is not None:
            for key, part in value.items() if values.message_type is not None else ():
                yield from _unknown(part, f"{path}{field.name}.{key}.")
        elif field.is_repeated:
            for index, part in enumerate(value):
                yield from _unknown(part, f"{path}{field.name}[{index}].")
        else:
            yield from _unknown(value, f"{path}{field.name}.")


def unknown_in(body: JSONObject, custom: CustomSchema) -> list[str]:
    """Say which fields of an object its schema does not have."""
    return [f'unknown field "{path}"' for path in custom.prune(copied(body))]


def check_known(obj: Message, validation: str, resource: Resource[Message]) -> list[str]:
    """Give warnings of unknown fields, as ``fieldValidation`` asks; BadRequest where that is Strict."""
    found = unknown(obj) if validation in ("Strict", "Warn") else []
    if resource.custom is not None and isinstance(obj, CustomObject) and validation in ("Strict", "Warn"):
        found += unknown_in(body_of(obj), resource.custom)
    if not found or validation == "Warn":
        return found
    raise errors.BadRequest(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
        f"strict decoding error: {', '.join(found)}"
    )
