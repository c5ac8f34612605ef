"""Messages to JSON and YAML as kubectl prints them: keys sorted, upstream's rules for what is printed when empty."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from kubelab.api.custom import custom_pb2
from kubelab.api.tables import spelling
from kubelab.apimachinery import scheme
from kubelab.apimachinery.manifest import jsonmapping
from kubelab.apimachinery.messages import map_value
from kubelab.apimachinery.terminal import QUOTED

# As Go's encoder does; and what a terminal would act on, which reads back the same.
_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"} | {
    number: code for number, code in QUOTED.items() if number >= 0x7F
}


def to_dict(obj: Message, *, as_written: bool = False) -> dict[str, Any]:
    """Give an object as JSON has it, ``apiVersion`` and ``kind`` included where it is a resource.

    ``as_written`` leaves out empty fields that are printed otherwise (``status: {}``), as a hand-written file does.
    """
    body = message_to_dict(obj, as_written=as_written)
    if isinstance(obj, custom_pb2.CustomObject):
        return dict(sorted({**body, "apiVersion": obj.apiVersion, "kind": obj.kind}.items()))
    try:
        resource = scheme.of_object(obj)
    except KeyError:
        return body
    return dict(sorted({"apiVersion": resource.api_version, "kind": resource.kind, **body}.items()))


def list_to_dict(objects: Iterable[Message]) -> dict[str, Any]:
    """Give several objects as one ``v1 List``."""
    items = [to_dict(obj) for obj in objects]
    return {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}


def message_to_dict(message: Message, *, as_written: bool = False) -> dict[str, Any]:
    """Give a message's fields; a part that is not an object of its own has no ``apiVersion`` and ``kind``."""
    if isinstance(message, custom_pb2.CustomObject):
        return _content(message)
    fields, always, inline = _plan(message.DESCRIPTOR, as_written)
    body: dict[str, Any] = {}
    for field, value in message.ListFields():  # only what is set: most messages have many more fields
        name, encode = fields[field.number]
        written = encode(value)
        if written is not None or encode not in (_time, _micro_time):
            body[name] = written
    for name, empty in always:
        if name not in body:
            body[name] = empty()
    for name, part in inline:
        body.pop(name, None)
        body.update(part(getattr(message, name)))
    return dict(sorted(body.items()))


def to_json(document: dict[str, Any] | list[Any]) -> str:
    """Write with four spaces, as kubectl does, with a newline at the end."""
    text = json.dumps(document, indent=4, ensure_ascii=False)
    return text.translate(_ESCAPED) + "\n"


def to_yaml(document: dict[str, Any] | Sequence[dict[str, Any]]) -> str:
    """Write one document, or several with ``---`` between."""
    from kubelab.apimachinery.manifest.yamlout import dump

    documents = [document] if isinstance(document, dict) else document
    return "---\n".join(dump(d) for d in documents)


_Encode = Callable[[Any], Any]


class _Plan(NamedTuple):
    """How the fields of a message are written: by number, those that are there when they are empty too, and parts whose
    fields stand in their parent's place."""

    fields: dict[int, tuple[str, _Encode]]
    always: tuple[tuple[str, Callable[[], Any]], ...]
    inline: tuple[tuple[str, _Encode], ...]


@functools.cache
def _plan(descriptor: Descriptor, as_written: bool) -> _Plan:
    plan = _Plan({field.number: (field.json_name, _encoder(field, as_written)) for field in descriptor.fields}, (), ())
    inline = [field for field in descriptor.fields if field.full_name in spelling.INLINE]
    always = [] if as_written else [field for field in descriptor.fields if field.full_name in spelling.ALWAYS]
    return plan._replace(
        always=tuple(
            (field.json_name, _empty(field)) for field in always if field not in inline and map_value(field) is None
        ),
        inline=tuple((field.name, functools.partial(message_to_dict, as_written=as_written)) for field in inline),
    )


def _content(obj: Any) -> dict[str, Any]:
    """Give the fields of a custom object; the metadata alone where its bytes are no JSON: one such must not hide all
    others."""
    body: dict[str, Any] = {}
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        body.update(json.loads(obj.content or b"{}"))
    body["metadata"] = message_to_dict(obj.metadata)
    return dict(sorted(body.items()))


def _encoder(field: FieldDescriptor, as_written: bool) -> _Encode:
    """Say how a field that is set is written."""
    values = map_value(field)
    if values is not None:
        value = _one(values, as_written)
        return lambda entries: {key: value(entries[key]) for key in sorted(entries)}
    one = _one(field, as_written)
    return (lambda elements: [one(element) for element in elements]) if field.is_repeated else one


def _empty(field: FieldDescriptor) -> Callable[[], Any]:
    """Say how a field is written that is not set and is there all the same."""
    kind = field.message_type
    if field.is_repeated or (kind is not None and kind.full_name in _NULL_WHEN_EMPTY):
        return lambda: None
    if kind is None:
        return lambda: _one(field, False)(field.default_value)
    one, message = _one(field, False), GetMessageClass(kind)
    return lambda: one(message())


def _one(field: FieldDescriptor, as_written: bool) -> Callable[[Any], Any]:
    """Say how a single value of a field is written."""
    if field.message_type is not None:
        part = functools.partial(message_to_dict, as_written=as_written)
        return _SPECIAL.get(field.message_type.full_name, part)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _base64
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return _double
    return cast(Callable[[Any], Any], _same)


def _double(value: float) -> float | None:
    """Write 10 for 10.0, as Go does; null for what JSON has no number for: one such must not hide all others."""
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _same(value: object) -> object:
    return value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _time(value: Any) -> str | None:
    if not value.seconds and not value.nanos:
        return None  # Go's zero time, as if it were not set: a creationTimestamp that was sent as null, say
    return jsonmapping.format_time(value.seconds, value.nanos)


def _micro_time(value: Any) -> str | None:
    if not value.seconds and not value.nanos:
        return None
    return jsonmapping.format_time(value.seconds, value.nanos, micro=True)


def _quantity(value: Any) -> str:
    return value.string or "0"


def _int_or_string(value: Any) -> int | str:
    return value.strVal if value.type == 1 else value.intVal


def _fields(value: Any) -> Any:
    """Give a set of fields, empty where the bytes are no JSON: one such object must not hide all others."""
    try:
        return json.loads(value.Raw or b"{}")
    except (ValueError, RecursionError):
        return {}


def _raw(value: Any) -> Any:
    try:
        return json.loads(value.raw or b"null")
    except (ValueError, RecursionError):
        return None


def _schema_or_bool(value: Any) -> Any:
    return message_to_dict(value.schema) if value.HasField("schema") else value.allows


def _schema_or_array(value: Any) -> Any:
    if value.HasField("schema"):
        return message_to_dict(value.schema)
    return [message_to_dict(one) for one in value.jSONSchemas] or None


def _schema_or_strings(value: Any) -> Any:
    return message_to_dict(value.schema) if value.HasField("schema") else list(value.property) or None


def _items(value: Any) -> Any:
    return list(value.items)


_NULL_WHEN_EMPTY = (jsonmapping.TIME, jsonmapping.MICRO_TIME)
_SPECIAL: dict[str, Callable[[Any], Any]] = {
    jsonmapping.TIME: _time,
    jsonmapping.MICRO_TIME: _micro_time,
    jsonmapping.QUANTITY: _quantity,
    jsonmapping.INT_OR_STRING: _int_or_string,
    jsonmapping.FIELDS: _fields,
    jsonmapping.RAW_EXTENSION: _raw,
    jsonmapping.JSON_VALUE: _raw,
    jsonmapping.SCHEMA_OR_BOOL: _schema_or_bool,
    jsonmapping.SCHEMA_OR_ARRAY: _schema_or_array,
    jsonmapping.SCHEMA_OR_STRINGS: _schema_or_strings,
    **dict.fromkeys(jsonmapping.EXTRA_VALUES, _items),
}
