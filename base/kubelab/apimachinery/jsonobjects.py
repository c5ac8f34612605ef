"""Objects from JSON, as the api-server reads them: unknown fields are listed, a wrong type is an error in Go's words.

Manifests that people write are read by :mod:`kubelab.apimachinery.manifest`, which knows files and lines.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from kubelab.api.custom import custom_pb2
from kubelab.api.tables import spelling
from kubelab.apimachinery.manifest import jsonmapping
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apimachinery.messages import map_value
from kubelab.apimachinery.patch.values import JSONArray, JSONObject, number

M = TypeVar("M", bound=Message)

_JSON_INSIDE = frozenset((jsonmapping.FIELDS, jsonmapping.RAW_EXTENSION, jsonmapping.JSON_VALUE))
_TYPE_AND_METADATA = frozenset(("apiVersion", "kind", "metadata"))
_TYPES = {
    FieldDescriptor.TYPE_INT32: ("int32", -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: ("int64", -(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: ("uint32", 0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: ("uint64", 0, 2**64 - 1),
}


class DecodingError(ValueError):
    """A value has a type that its field cannot hold.

    ``converting`` is what upstream says where it converts a patched object without JSON (a strategic merge patch).
    """

    def __init__(self, message: str, converting: str = "") -> None:
        super().__init__(message)
        self.converting = converting or message


def decode(body: JSONObject, message: type[M]) -> tuple[M, list[str]]:
    """Read an object; the list has upstream's complaint about each field that is unknown. DecodingError.

    A field that JSON has also when it is empty, such as ``resources: {}``, is left out of the message then.
    """
    obj = message()
    reader = _Reader()
    if isinstance(obj, custom_pb2.CustomObject):
        reader.custom(body, obj)
    else:
        reader.object(body, obj, "", "", root=True)
    return obj, reader.unknown


def align(new: Message, old: Message) -> None:
    """Let ``new`` have the empty fields that ``old`` has and JSON cannot tell from those that are not there."""
    for one, before in old.ListFields():
        name = one.name
        if one.is_repeated:
            if one.message_type is not None and map_value(one) is None:
                for element, other in zip(getattr(new, name), before, strict=False):
                    align(element, other)
        elif one.has_presence and not new.HasField(name):
            if _is_like_none(one, before):
                if one.message_type is not None:
                    getattr(new, name).CopyFrom(before)
                else:
                    setattr(new, name, before)
        elif one.message_type is not None and one.message_type.full_name in _JSON_INSIDE:
            if message_to_dict(new)[name] == message_to_dict(old)[name]:
                getattr(new, name).CopyFrom(before)  # the same, however it is spaced
        elif one.message_type is not None:
            align(getattr(new, name), before)


def _is_like_none(one: FieldDescriptor, value: Any) -> bool:
    """Whether JSON has a field that is there as it has one that is not: 0, an empty part, a part without fields."""
    if one.message_type is not None and one.message_type.full_name == jsonmapping.RAW_EXTENSION:
        return value.raw in (b"", b"null")
    if one.message_type is not None and one.message_type.full_name in (jsonmapping.TIME, jsonmapping.MICRO_TIME):
        return not value.seconds and not value.nanos
    if one.full_name not in spelling.ALWAYS and one.full_name not in spelling.INLINE:
        return False
    if not isinstance(value, Message):
        return not value
    if value.DESCRIPTOR.full_name == jsonmapping.QUANTITY:
        return cast(Any, value).string in ("", "0")
    return all(_is_like_none(below, part) for below, part in value.ListFields())


@dataclass(frozen=True, slots=True)
class _Place:
    """A JSON key: the field that it fills, of the message or of an inlined part: the fields that lead to that."""

    field: FieldDescriptor
    inlined_in: tuple[str, ...]
    map_value: FieldDescriptor | None


@functools.cache
def _places(descriptor: Descriptor) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    for one in descriptor.fields:
        if one.full_name in spelling.INLINE:
            assert one.message_type is not None
            below = _places(one.message_type).items()
            places |= {key: _Place(p.field, (one.name, *p.inlined_in), p.map_value) for key, p in below}
        else:
            places[one.json_name] = _Place(one, (), map_value(one))
    return places


@dataclass(slots=True)
class _Reader:
    unknown: list[str] = field(default_factory=list[str])

    def object(self, body: JSONObject, target: Message, indexed: str, plain: str, *, root: bool = False) -> None:
        """Fill a message. ``indexed`` and ``plain`` are its path, with and without the places in lists."""
        places = _places(target.DESCRIPTOR)
        for key, value in body.items():
            place = places.get(key)
            if place is None:
                if not (root and key in ("apiVersion", "kind")):
                    self.unknown.append(f'unknown field "{indexed}{key}"')
                continue
            if value is None:
                continue
            holder: Any = target
            for part in place.inlined_in:
                holder = getattr(holder, part)
            self._fill(value, holder, place, f"{indexed}{key}", f"{plain}{key}")

    def custom(self, body: JSONObject, target: custom_pb2.CustomObject) -> None:
        """Fill a custom object: its metadata is a message, all else stays JSON."""
        self.object({"metadata": body.get("metadata")}, target, "", "")
        target.apiVersion, target.kind = str(body.get("apiVersion") or ""), str(body.get("kind") or "")
        rest = {key: value for key, value in body.items() if key not in _TYPE_AND_METADATA}
        target.content = json.dumps(rest, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")

    def _fill(self, value: Any, holder: Any, place: _Place, indexed: str, plain: str) -> None:
        one, name = place.field, place.field.name
        if place.map_value is not None:
            if not isinstance(value, dict):
                raise _mismatch(value, one, plain, "map[string]" + _go_type(place.map_value), "map")
            target = getattr(holder, name)
            for key, part in cast(JSONObject, value).items():
                if place.map_value.message_type is not None:
                    self._message(part, target[key], place.map_value, f"{indexed}.{key}", plain)
                else:
                    target[key] = _zero(place.map_value) if part is None else _scalar(part, place.map_value, plain)
        elif one.is_repeated:
            if not isinstance(value, list):
                raise _mismatch(value, one, plain, "[]" + _go_type(one), "slice")
            target = getattr(holder, name)
            for at, part in enumerate(cast(JSONArray, value)):
                if one.message_type is not None:
                    self._message(part, target.add(), one, f"{indexed}[{at}]", plain)
                else:
                    target.append(_zero(one) if part is None else _scalar(part, one, plain))
        elif one.message_type is not None:
            self._message(value, getattr(holder, name), one, indexed, plain)
        else:
            scalar = _scalar(value, one, plain)
            if scalar or one.full_name not in spelling.ALWAYS:
                setattr(holder, name, scalar)

    def _message(self, value: Any, target: Message, one: FieldDescriptor, indexed: str, plain: str) -> None:
        always = one.full_name in spelling.ALWAYS
        if not always:
            target.SetInParent()
        special = _SPECIAL.get(target.DESCRIPTOR.full_name)
        if value is None:
            return
        if target.DESCRIPTOR.full_name in jsonmapping.SCHEMA_OR:
            self._schema_or(value, target, one, indexed, plain)
        elif special is not None:
            if not always or value not in (0, "0", ""):
                special(value, target)
        elif isinstance(value, dict):
            self.object(cast(JSONObject, value), target, f"{indexed}.", f"{plain}.")
        else:
            raise _mismatch(value, one, plain, _go_type(one), "struct")

    def _schema_or(self, value: Any, target: Any, one: FieldDescriptor, indexed: str, plain: str) -> None:
        """Read a schema, or what may stand in its place: true or false, a list of schemas, a list of names."""
        name = target.DESCRIPTOR.full_name
        if isinstance(value, dict):
            if name == jsonmapping.SCHEMA_OR_BOOL:
                target.allows = True
            target.schema.SetInParent()
            self.object(cast(JSONObject, value), target.schema, f"{indexed}.", f"{plain}.")
        elif name == jsonmapping.SCHEMA_OR_BOOL:
            if not isinstance(value, bool):
                raise DecodingError("boolean or JSON schema expected")
            target.allows = value
        elif not isinstance(value, list):
            raise _mismatch(value, one, plain, _go_type(one), "struct")
        elif name == jsonmapping.SCHEMA_OR_ARRAY:
            schemas = target.DESCRIPTOR.fields_by_name["jSONSchemas"]
            for at, part in enumerate(cast(JSONArray, value)):
                self._message(part, target.jSONSchemas.add(), schemas, f"{indexed}[{at}]", plain)
        else:
            names = target.DESCRIPTOR.fields_by_name["property"]
            target.property.extend(_scalar(part, names, plain) for part in cast(JSONArray, value))


def _go_type(one: FieldDescriptor) -> str:
    if one.message_type is not None:
        package = one.message_type.full_name.split(".")
        return f"{package[-2]}.{package[-1]}"
    if one.type in _TYPES:
        return _TYPES[one.type][0]
    return {
        FieldDescriptor.TYPE_STRING: "string",
        FieldDescriptor.TYPE_BOOL: "bool",
        FieldDescriptor.TYPE_BYTES: "[]uint8",
    }.get(one.type, "float64")


def _kind(value: object) -> str:
    """Name a JSON value's kind as Go's messages do."""
    kinds: dict[type, str] = {str: "string", bool: "bool", dict: "object", list: "array", type(None): "null"}
    return kinds.get(type(value), "number")


def _mismatch(value: Any, one: FieldDescriptor, path: str, expected: str, kind: str) -> DecodingError:
    found = _kind(value)
    if found == "number" and expected in ("int32", "int64", "uint32", "uint64"):
        found = f"number {number(value) if isinstance(value, float) else value}"
    holder = one.containing_type
    assert holder is not None
    if holder.GetOptions().map_entry and holder.containing_type is not None:
        holder = holder.containing_type  # a value of a map counts as one of the field that is the map
    struct = holder.name
    message = f"json: cannot unmarshal {found} into Go struct field {struct}.{path} of type {expected}"
    given = {str: "string", bool: "bool", dict: "map", list: "slice", float: "float64"}.get(type(value), "int64")
    match kind:
        case "struct":
            converting = f"cannot restore struct from: {given}"
        case "map" | "slice":
            converting = f"cannot restore {kind} from {given}"
        case _:
            converting = f"unrecognized type: {expected}"
    return DecodingError(message, converting)


def _zero(one: FieldDescriptor) -> Any:
    if one.type == FieldDescriptor.TYPE_STRING:
        return ""
    return b"" if one.type == FieldDescriptor.TYPE_BYTES else 0


def _scalar(value: Any, one: FieldDescriptor, path: str) -> Any:
    if one.type == FieldDescriptor.TYPE_STRING:
        if isinstance(value, str):
            return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    elif one.type in _TYPES:
        _, low, high = _TYPES[one.type]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
    elif one.type == FieldDescriptor.TYPE_BOOL:
        if isinstance(value, bool):
            return value
    elif one.type == FieldDescriptor.TYPE_BYTES:
        if isinstance(value, str):
            return _bytes(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise _mismatch(value, one, path, _go_type(one), "")


def _bytes(text: str) -> bytes:
    stripped = text.replace("\n", "").replace("\r", "")
    try:
        return base64.b64decode(stripped, validate=True)
    except (binascii.Error, ValueError) as err:
        wrong = next((at for at, sign in enumerate(text) if not (sign.isalnum() or sign in "+/")), len(text) // 4 * 4)
        raise DecodingError(f"illegal base64 data at input byte {wrong}") from err


def _micro_time(value: Any, target: Any) -> None:
    _time(value, target, "2006-01-02T15:04:05.000000Z07:00")


def _time(value: Any, target: Any, layout: str = "2006-01-02T15:04:05Z07:00") -> None:
    if not isinstance(value, str):
        raise DecodingError(f"json: cannot unmarshal {_kind(value)} into Go value of type string")
    moment = jsonmapping.parse_time(value)
    if moment is None:
        rest = value if not value[:4].isdigit() else value[4:]
        part = "2006" if rest == value else "-"
        raise DecodingError(f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as "{part}"')
    target.seconds, target.nanos = moment


def _quantity(value: Any, target: Any) -> None:
    text = number(value) if isinstance(value, float) else str(value)
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    if not plain or not jsonmapping.QUANTITY_FORM.fullmatch(text):
        raise DecodingError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    target.string = text


def _int_or_string(value: Any, target: Any) -> None:
    if isinstance(value, str):
        target.type, target.strVal = 1, value
        return
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(whole, int) or isinstance(whole, bool) or not -(2**31) <= whole < 2**31:
        found = _kind(cast(object, whole))
        found = f"number {whole}" if found == "number" else found
        raise DecodingError(f"json: cannot unmarshal {found} into Go value of type int32")
    target.intVal = whole


def _fields(value: Any, target: Any) -> None:
    target.Raw = json.dumps(value, separators=(",", ":")).encode()


def _raw(value: Any, target: Any) -> None:
    target.raw = json.dumps(value, separators=(",", ":")).encode()


def _items(value: Any, target: Any) -> None:
    values = cast(JSONArray, value) if isinstance(value, list) else [value]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in values):
        wrong = next((one for one in values if not isinstance(one, str)), value)
        raise DecodingError(f"json: cannot unmarshal {_kind(wrong)} into Go value of type string")
    target.items.extend(values)


_SPECIAL: dict[str, Callable[[Any, Any], None]] = {
    jsonmapping.TIME: _time,
    jsonmapping.MICRO_TIME: _micro_time,
    jsonmapping.QUANTITY: _quantity,
    jsonmapping.INT_OR_STRING: _int_or_string,
    jsonmapping.FIELDS: _fields,
    jsonmapping.RAW_EXTENSION: _raw,
    jsonmapping.JSON_VALUE: _raw,
    **dict.fromkeys(jsonmapping.EXTRA_VALUES, _items),
}
