"""The types of an object's parts for server-side apply: which have one owner, and what tells elements apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from kubelab.api.tables import merging
from kubelab.apimachinery.manifest import jsonmapping
from kubelab.apimachinery.messages import map_value
from kubelab.apimachinery.openapi import fields_of

_SCALARS = frozenset((jsonmapping.TIME, jsonmapping.MICRO_TIME, jsonmapping.QUANTITY, jsonmapping.INT_OR_STRING))
_NUMERIC = frozenset(
    (
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_DOUBLE,
        FieldDescriptor.TYPE_FLOAT,
    )
)
# The keys of list elements that upstream's schema has a default for: ports without a protocol are of TCP.
_KEY_DEFAULTS = {"protocol": "TCP"}


class TypeMismatch(ValueError):
    """A value is not of its field's type, or cannot be told apart from its neighbours."""


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A plain value: ``numeric``, ``string`` or ``boolean``; empty where it may be several of them; or ``any`` value,
    which has one owner."""

    kind: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Struct:
    """An object with known fields. ``others`` is the type of the rest, None where there may be no others."""

    fields: Mapping[str, Type]
    atomic: bool = False
    others: Type | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MapType:
    values: Type
    atomic: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ListType:
    """A list. Without ``keys`` its elements are told apart by their values."""

    elements: Type
    keys: tuple[str, ...] = ()
    atomic: bool = True

    def key_of(self, element: Any, index: int) -> str:
        """Give the path element of a list's element; TypeMismatch."""
        if not self.keys:
            if isinstance(element, dict | list) or element is None:
                raise TypeMismatch(f"element {index}: associative list without keys has an element that's not a scalar")
            return f"v:{json.dumps(element, ensure_ascii=False)}"
        if not isinstance(element, dict):
            raise TypeMismatch(f"element {index}: associative list with keys may not have non-map elements")
        values: dict[str, Any] = {}
        for key in sorted(self.keys):
            value = element.get(key, _KEY_DEFAULTS.get(key))  # pyright: ignore[reportUnknownMemberType]
            if value is not None:
                values[key] = value
        if not values:
            names = ", ".join(f'"{key}"' for key in self.keys)
            raise TypeMismatch(
                f"element {index}: associative list with keys has an element that omits key field {names} "
                "(and doesn't have default value)"
            )
        return f"k:{json.dumps(values, separators=(',', ':'), ensure_ascii=False)}"


Type = Scalar | Struct | MapType | ListType


class _Fields(Mapping[str, "Type"]):
    """The fields of a message. Each type is made when it is first asked for: some messages contain themselves."""

    def __init__(self, descriptor: Descriptor, others: Mapping[str, Type] | None = None) -> None:
        self._descriptors = {one.json_name: one for one in fields_of(descriptor)}
        self._made: dict[str, Type] = dict(others or {})

    def __getitem__(self, key: str) -> Type:
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = _type_of_field(self._descriptors[key])
        return made

    def __iter__(self) -> Iterator[str]:
        return iter({**self._descriptors, **self._made})

    def __len__(self) -> int:
        return len({**self._descriptors, **self._made})


@cache
def of_object(descriptor: Descriptor) -> Struct:
    """Give the type of a kind's objects, ``apiVersion`` and ``kind`` among their fields."""
    return Struct(_Fields(descriptor, {"apiVersion": STRING, "kind": STRING}))


STRING, NUMERIC, BOOLEAN, PLAIN, ANY = (Scalar(kind) for kind in ("string", "numeric", "boolean", "", "any"))


@cache
def _of_message(descriptor: Descriptor) -> Type:
    if descriptor.full_name in _SCALARS:
        return PLAIN
    if descriptor.full_name in jsonmapping.LEAVES:
        return ANY
    return Struct(_Fields(descriptor), descriptor.full_name in merging.ATOMIC_MESSAGE)


def _of_value(one: FieldDescriptor) -> Type:
    if one.message_type is not None:
        return _of_message(one.message_type)
    if one.type in _NUMERIC:
        return NUMERIC
    return BOOLEAN if one.type == FieldDescriptor.TYPE_BOOL else STRING


def _type_of_field(one: FieldDescriptor) -> Type:
    name = one.full_name
    if (value := map_value(one)) is not None:
        return MapType(_of_value(value), name in merging.ATOMIC)
    if one.is_repeated:
        kind = merging.LIST_TYPE.get(name, "atomic")
        return ListType(_of_value(one), tuple(merging.LIST_KEYS.get(name, ())), kind == "atomic")
    made = _of_value(one)
    if isinstance(made, Struct) and name in merging.ATOMIC:
        return Struct(made.fields, atomic=True)
    return made
