"""Decode manifests into messages, strictly: an unknown field or a wrong type is an error with path, file and line.

The decoder does not stop at the first error: it reads every document, and :class:`ManifestError` has all of them.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import functools
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from kubelab.api.custom import custom_pb2
from kubelab.api.tables import spelling
from kubelab.apimachinery import scheme
from kubelab.apimachinery.manifest import diagnostics, jsonmapping
from kubelab.apimachinery.manifest.diagnostics import DecodeStage, Diagnostic, Diagnostics, ManifestError
from kubelab.apimachinery.manifest.yamlnodes import YAMLNode, parse, plain, shortened
from kubelab.apimachinery.messages import map_value
from kubelab.apimachinery.scheme import Resource

_INTEGERS = {
    FieldDescriptor.TYPE_INT32: ("an integer (int32)", -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: ("an integer (int64)", -(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: ("a non-negative integer (uint32)", 0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: ("a non-negative integer (uint64)", 0, 2**64 - 1),
}


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a manifest, and where it stands."""

    obj: Message
    resource: Resource[Message]
    source: str
    line: int
    node: YAMLNode

    @property
    def written(self) -> dict[str, Any]:
        """The object as the text has it, with every null and empty field, in JSON's types."""
        return {**plain(self.node), "apiVersion": self.resource.api_version, "kind": self.resource.kind}

    @property
    def name(self) -> str:
        return cast(Any, self.obj).metadata.name

    @property
    def namespace(self) -> str:
        return cast(Any, self.obj).metadata.namespace


def decode(text: str, source: str, unknown: list[Diagnostic] | None = None) -> list[Document]:
    """Read every object of a text; a ``List`` is read as its items. Raises ManifestError with all that is wrong.

    With a list ``unknown``, unknown fields are no errors: they are left out, and the list has them.
    """
    collected = Diagnostics()
    found = _Found(collected, collected if unknown is None else unknown)
    documents = [d for node in parse(text, source) for d in _objects(node, source, "", found)]
    if collected:
        raise ManifestError(collected)
    return documents


@dataclass(frozen=True, slots=True)
class _Found:
    """What a text has that does not fit: errors, and unknown fields, which may be errors too."""

    errors: list[Diagnostic]
    unknown: list[Diagnostic]


def _objects(
    node: YAMLNode, source: str, path: str, found: _Found, of: tuple[str, str] | None = None
) -> Iterable[Document]:
    """Give a document's objects. ``of`` is what a typed list says of items without a kind."""
    collected = found.errors
    if not node.is_mapping:
        collected.append(diagnostics.wrong_value(source, node.line, path, node.shown(), "an object"))
        return
    if of and not all((part := node.get(key)) and part.value for key in ("apiVersion", "kind")):
        version, kind = of
    else:
        version, kind = (_type_meta(node, key, source, path, collected) for key in ("apiVersion", "kind"))
    if not version or not kind:
        return
    items = node.get("items")
    if kind.endswith("List") and items is not None and (kind == "List" or scheme.by_kind(version, kind[:-4])):
        if not items.is_list:
            if items.value is not None:
                collected.append(diagnostics.wrong_value(source, items.line, "items", items.shown(), "a list"))
            return
        typed = None if kind == "List" else (version, kind.removesuffix("List"))
        for n, item in enumerate(items.elements()):
            yield from _objects(item, source, f"{path}items[{n}]", found, typed)
        return
    resource = scheme.by_kind(version, kind)
    if resource is None:
        collected.append(_unknown_kind(node, version, kind, source))
        return
    obj = resource.new()
    reader = _Reader(source, found)
    if isinstance(obj, custom_pb2.CustomObject):
        reader.custom(node, obj, f"{path}." if path else "")
        yield Document(obj, resource, source, node.line, node)
        return
    reader.fields(node, obj, f"{path}." if path else "", skip=("apiVersion", "kind"))
    yield Document(obj, resource, source, node.line, node)


def _type_meta(node: YAMLNode, key: str, source: str, path: str, collected: list[Diagnostic]) -> str:
    value = node.get(key)
    where = f"{path}.{key}" if path else key
    if value is None or value.value in (None, ""):
        line = value.line if value else node.line
        collected.append(Diagnostic(DecodeStage.VALIDATE, source, line, f"{where} not set", where, expected="a string"))
        return ""
    if not isinstance(value.value, str):
        collected.append(diagnostics.wrong_value(source, value.line, where, value.shown(), "a string"))
        return ""
    return value.value


def _unknown_kind(node: YAMLNode, version: str, kind: str, source: str) -> Diagnostic:
    version, kind = shortened(version), shortened(kind)
    metadata = node.get("metadata")
    name, namespace = (
        part.shown().strip('"') if metadata and (part := metadata.get(key)) and part.value else ""
        for key in ("name", "namespace")
    )
    message = (
        f'resource mapping not found for name: "{name}" namespace: "{namespace}" from "{source}": '
        f'no matches for kind "{kind}" in version "{version}"'
    )
    kinds = [r.kind for r in scheme.known()]
    near = [kind] if kind in kinds else difflib.get_close_matches(kind, kinds, n=1)
    hint = ""
    if near:
        resource = next(r for r in scheme.known() if r.kind == near[0])
        hint = f"{resource.kind} in version {resource.api_version}"
        message += f', did you mean "{resource.kind}" in version "{resource.api_version}"?'
    where = node.get("kind")
    return Diagnostic(DecodeStage.RECOGNIZE, source, where.line if where else node.line, message, "kind", kind, hint)


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a JSON key: a field of the message, or of an inlined part: the fields that lead to that."""

    field: FieldDescriptor
    inlined_in: tuple[str, ...] = ()


@functools.cache
def _places(descriptor: Descriptor) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    for field in descriptor.fields:
        if field.full_name in spelling.INLINE:
            inner = field.message_type
            assert inner is not None
            below = _places(inner).items()
            places.update({key: _Place(p.field, (field.name, *p.inlined_in)) for key, p in below})
        else:
            places[field.json_name] = _Place(field)
    return places


class _Reader:
    """Fills messages from nodes; what does not fit is added to ``found`` and left out."""

    def __init__(self, source: str, found: _Found) -> None:
        self._source, self._diagnostics, self._unknown = source, found.errors, found.unknown

    def fields(self, node: YAMLNode, message: Message, prefix: str, skip: tuple[str, ...] = ()) -> None:
        """Read a mapping into a message; ``prefix`` is the path up to and with the last dot."""
        places = _places(message.DESCRIPTOR)
        for key, line, value in node.items():
            if key in skip:
                continue
            place = places.get(key)
            if place is None:
                near = difflib.get_close_matches(key, places, n=1)
                self._unknown.append(
                    diagnostics.unknown_field(self._source, line, prefix + key, near[0] if near else "")
                )
                continue
            if value.value is None:
                continue  # null: as if it were not there
            target = message
            for part in place.inlined_in:
                target = cast(Message, getattr(target, part))
            self._field(value, target, place.field, prefix + key)

    def custom(self, node: YAMLNode, obj: custom_pb2.CustomObject, prefix: str) -> None:
        """Read a custom object: its metadata is a message, all else stays JSON, which the server checks."""
        metadata = node.get("metadata")
        if metadata is not None and metadata.value is not None:
            self._message(metadata, obj.metadata, f"{prefix}metadata")
        body = {key: value for key, value in plain(node).items() if key not in ("apiVersion", "kind", "metadata")}
        obj.content = json.dumps(body, separators=(",", ":"), ensure_ascii=False, default=str).encode(
            "utf-8", "replace"
        )

    def _field(self, node: YAMLNode, message: Message, field: FieldDescriptor, path: str) -> None:
        name = field.name
        kind = field.message_type
        if (value_field := map_value(field)) is not None:
            self._map(node, getattr(message, name), value_field, path)
        elif field.is_repeated:
            self._list(node, getattr(message, name), field, path)
        elif kind is not None:
            self._message(node, getattr(message, name), path)
        else:
            value = self._scalar(node, field, path)
            if value is not None:
                setattr(message, name, value)

    def _list(self, node: YAMLNode, target: Any, field: FieldDescriptor, path: str) -> None:
        if not node.is_list:
            self._wrong(node, path, "a list")
            return
        for n, element in enumerate(node.elements()):
            where = f"{path}[{n}]"
            if field.message_type is not None:
                self._message(element, target.add(), where)
            else:
                value = self._scalar(element, field, where)
                if value is not None:
                    target.append(value)

    def _map(self, node: YAMLNode, target: Any, field: FieldDescriptor, path: str) -> None:
        if not node.is_mapping:
            self._wrong(node, path, "an object")
            return
        for key, _, element in node.items():
            where = f"{path}.{key}"
            if field.message_type is not None:
                self._message(element, target[key], where)
            elif element.value is None:
                target[key] = b"" if field.type == FieldDescriptor.TYPE_BYTES else ""  # as Go reads null into a string
            else:
                value = self._scalar(element, field, where)
                if value is not None:
                    target[key] = value

    def _message(self, node: YAMLNode, target: Message, path: str) -> None:
        if target.DESCRIPTOR.full_name in jsonmapping.SCHEMA_OR:
            self._schema_or(node, target, path)
            return
        special = _SPECIAL.get(target.DESCRIPTOR.full_name)
        if special is not None:
            expected = special(node, target)
            if expected:
                self._wrong(node, path, expected)
            return
        if not node.is_mapping:
            self._wrong(node, path, "an object")
            return
        target.SetInParent()  # `status: {}` is there, if empty
        self.fields(node, target, f"{path}.")

    def _schema_or(self, node: YAMLNode, target: Any, path: str) -> None:
        """Read a schema, or what may stand in its place: true or false, a list of schemas, a list of names."""
        name = target.DESCRIPTOR.full_name
        if node.is_mapping:
            if name == jsonmapping.SCHEMA_OR_BOOL:
                target.allows = True
            target.schema.SetInParent()
            self.fields(node, target.schema, f"{path}.")
        elif name == jsonmapping.SCHEMA_OR_BOOL:
            if isinstance(node.value, bool):
                target.allows = node.value
                target.SetInParent()
            else:
                self._wrong(node, path, "true, false or an object")
        elif not node.is_list:
            self._wrong(node, path, "an object or a list")
        elif name == jsonmapping.SCHEMA_OR_ARRAY:
            self._list(node, target.jSONSchemas, target.DESCRIPTOR.fields_by_name["jSONSchemas"], path)
        else:
            self._list(node, target.property, target.DESCRIPTOR.fields_by_name["property"], path)

    def _scalar(self, node: YAMLNode, field: FieldDescriptor, path: str) -> Any:
        value = node.value
        if field.type in _INTEGERS:
            expected, low, high = _INTEGERS[field.type]
            number = _whole(value)
            if number is not None and low <= number <= high:
                return number
        elif field.type == FieldDescriptor.TYPE_STRING:
            expected = "a string"
            if isinstance(value, str):
                if _encodable(value):
                    return value
                expected = "a string of Unicode characters"
            elif value is not None and not isinstance(value, list):
                expected = f'a string; write "{shortened(node.written)}" in quotes'
        elif field.type == FieldDescriptor.TYPE_BOOL:
            expected = "true or false"
            if isinstance(value, bool):
                return value
        elif field.type == FieldDescriptor.TYPE_BYTES:
            expected = "a string in base64"
            if isinstance(value, str):
                try:
                    return base64.b64decode("".join(value.split()), validate=True)
                except (binascii.Error, ValueError):
                    pass
        else:
            expected = "a number"
            if (number := _finite(value)) is not None:
                return number
        self._wrong(node, path, expected)
        return None

    def _wrong(self, node: YAMLNode, path: str, expected: str) -> None:
        self._diagnostics.append(diagnostics.wrong_value(self._source, node.line, path, node.shown(), expected))


def _whole(value: object) -> int | None:
    """Give a whole number, also one that is written 80.0 or 8e1: upstream's way through JSON makes no difference."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _finite(value: object) -> float | None:
    """Give a number that JSON can say and a double can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _encodable(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _read_time(node: YAMLNode, target: Any) -> str:
    value = node.value
    moment = jsonmapping.parse_time(value) if isinstance(value, str) else None
    if moment is None:
        return "a time such as 2006-01-02T15:04:05Z (RFC 3339)"
    target.seconds, target.nanos = moment
    target.SetInParent()
    return ""


def _read_quantity(node: YAMLNode, target: Any) -> str:
    value = node.value
    if isinstance(value, float):
        text = node.written.replace("_", "")  # as the user wrote it: 0.10, 1e3
    else:
        text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not jsonmapping.QUANTITY_FORM.fullmatch(text):
        return "a quantity such as 500m, 64Mi or 2"
    target.string = text
    return ""


def _read_int_or_string(node: YAMLNode, target: Any) -> str:
    value = node.value
    target.SetInParent()
    if isinstance(value, str) and _encodable(value):
        target.type, target.strVal = 1, value
        return ""
    number = _whole(value)
    if number is not None and -(2**31) <= number < 2**31:
        target.intVal = number
        return ""
    return "an integer (int32) or a string"


def _read_fields(node: YAMLNode, target: Any) -> str:
    if not node.is_mapping:
        return "an object"
    target.Raw = json.dumps(plain(node), separators=(",", ":"), default=str).encode()
    return ""


def _read_raw(node: YAMLNode, target: Any) -> str:
    target.raw = json.dumps(plain(node), separators=(",", ":"), default=str).encode()
    return ""


def _read_items(node: YAMLNode, target: Any) -> str:
    values = plain(node)
    if not isinstance(values, list) or not all(isinstance(v, str) and _encodable(v) for v in values):
        return "a list of strings"
    target.items.extend(values)
    return ""


_SPECIAL = {
    jsonmapping.TIME: _read_time,
    jsonmapping.MICRO_TIME: _read_time,
    jsonmapping.QUANTITY: _read_quantity,
    jsonmapping.INT_OR_STRING: _read_int_or_string,
    jsonmapping.FIELDS: _read_fields,
    jsonmapping.RAW_EXTENSION: _read_raw,
    jsonmapping.JSON_VALUE: _read_raw,
    **dict.fromkeys(jsonmapping.EXTRA_VALUES, _read_items),
}
