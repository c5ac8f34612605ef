"""The parameters of a URL as the options of a verb (apimachinery's ``meta/v1/conversion.go``).

A parameter that the verb does not have is ignored, as upstream ignores it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from kubelab.apimachinery import errors

M = TypeVar("M", bound=Message)


class Query(Protocol):
    """The parameters of a URL, decoded; one may come several times."""

    def keys(self) -> Iterable[str]: ...

    def getall(self, key: str, /) -> Sequence[str]: ...


def read(query: Query, options: type[M]) -> M:
    """Make options of a URL's parameters; BadRequest for what is no number."""
    made = options()
    fields: Any = options.DESCRIPTOR.fields_by_name
    for key in query.keys():  # noqa: SIM118 — it is no dict: a key may be there twice
        field = fields.get(key)
        if field is None or field.message_type is not None:
            continue
        values = query.getall(key)
        if field.is_repeated:
            made.ClearField(key)
            getattr(made, key).extend(values)
        else:
            setattr(made, key, _value(field, values[0]))
    return made


def flag(query: Query, key: str) -> bool:
    """Read a parameter that is on or off."""
    return key in set(query.keys()) and boolean(query.getall(key)[0])


def boolean(text: str) -> bool:
    """Read a boolean as upstream does: everything but ``false`` and ``0`` is true."""
    return text.lower() not in ("false", "0")


def _value(field: FieldDescriptor, text: str) -> str | bool | int:
    if field.type == FieldDescriptor.TYPE_BOOL:
        return boolean(text)
    if field.type == FieldDescriptor.TYPE_STRING:
        return text
    digits = text[1:] if text[:1] in ("+", "-") else text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    if not (digits.isascii() and digits.isdecimal()):
        raise errors.BadRequest(f'strconv.ParseInt: parsing "{quoted}": invalid syntax')
    bits = 31 if field.type == FieldDescriptor.TYPE_INT32 else 63
    if len(digits) > 20 or not -(2**bits) <= int(text) < 2**bits:
        raise errors.BadRequest(f'strconv.ParseInt: parsing "{quoted}": value out of range')
    return int(text)
