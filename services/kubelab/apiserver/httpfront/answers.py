"""Objects and lists as the bytes of an answer, in the form that the client accepts."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from google.protobuf.message import Message

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.manifest.encode import message_to_dict, to_yaml
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Column, Resource
from kubelab.apimachinery.wireformat import delimited
from kubelab.apiserver.endpoints.decoding import GroupVersionKind, kind_of
from kubelab.apiserver.endpoints.verbs import Answer
from kubelab.apiserver.httpfront import jsoncache
from kubelab.apiserver.httpfront.jsoncache import JSONCache, dump, with_kind
from kubelab.apiserver.httpfront.negotiation import META, PARTIAL, PROTOBUF, TABLE, YAML, Accepted
from kubelab.apiserver.registry.reader import ObjectList
from kubelab.apiserver.registry.tables import Tables
from kubelab.apiserver.resources.writes import WriteResult
from kubelab.apiserver.storage.wire import MAGIC
from kubelab.apiserver.watchcache.changes import Entry
from kubelab.storage.v1 import storage_pb2

_TURN = 100  # objects that are encoded in one turn of the event loop
_EMPTY = meta_pb2.ListMeta()


def gvk_of(resource: Resource[Message]) -> GroupVersionKind:
    """Name the kind of a resource's objects."""
    return GroupVersionKind(resource.api_version, resource.kind)


def list_kind(resource: Resource[Message]) -> GroupVersionKind:
    """Name the kind of a list of them."""
    return GroupVersionKind(resource.api_version, resource.list_kind or f"{resource.kind}List")


def envelope(kind: GroupVersionKind, raw: bytes) -> bytes:
    """Give the protobuf form of an answer: upstream's envelope around an encoded message."""
    meta = storage_pb2.TypeMeta(apiVersion=kind.api_version, kind=kind.kind)
    return MAGIC + storage_pb2.Unknown(typeMeta=meta, raw=raw).SerializeToString()


def message_kind(obj: Message) -> GroupVersionKind:
    """Name the kind of any message that answers."""
    try:
        return gvk_of(scheme.of_object(obj))
    except KeyError:
        return kind_of(type(obj))


class Answers:
    """Writes what endpoints answer."""

    def __init__(self, tables: Tables, clock: Clock, cache: JSONCache | None = None) -> None:
        self._tables, self._clock = tables, clock
        self.cache = cache or JSONCache()

    # --- one object

    def object(
        self, resource: Resource[Message], answer: Answer, form: Accepted, include: str = "", *, columns: bool = True
    ) -> bytes:
        """Write one object. ``include`` says what the rows of a Table carry, ``columns`` whether it has its columns."""
        if form.convert and not isinstance(answer, meta_pb2.Status):
            return self._converted(resource, answer, form, include, columns=columns)
        if form.media_type == PROTOBUF:
            kind, raw = _encoded(resource, answer)
            return envelope(kind, raw)
        if isinstance(answer, Entry):
            body = with_kind(gvk_of(resource), self.cache.of(resource, answer))
        elif isinstance(answer, WriteResult):
            body = dump(jsoncache.ordered(gvk_of(resource), _written(answer)))
        else:
            body = dump(jsoncache.ordered(message_kind(answer), _message(answer)))
        return finished(body, form)

    def deleted(self, resource: Resource[Message], result: WriteResult) -> meta_pb2.Status:
        """Tell that an object is gone."""
        m = meta_of(result.obj)
        details = meta_pb2.StatusDetails(name=m.name, group=resource.group, kind=resource.plural, uid=m.uid)
        return meta_pb2.Status(status="Success", details=details)

    # --- lists

    async def list(self, listed: ObjectList, form: Accepted, include: str = "") -> bytes:
        """Write a list. The event loop has its turns while a long one is encoded."""
        resource, entries, metadata = listed.resource, listed.entries, listed.metadata
        if form.convert == TABLE:
            rows = await self._in_turns(entries, lambda entry: self._row(resource, entry.value, include, form))
            return finished(_table(resource.columns, rows, metadata, form.version), form)
        if form.convert:
            kind = GroupVersionKind(f"{META}/{form.version}", "PartialObjectMetadataList")
            if form.media_type == PROTOBUF:
                parts = await self._in_turns(entries, lambda entry: delimited(2, _partial(resource, entry.value)))
                return envelope(kind, delimited(1, metadata.SerializeToString()) + b"".join(parts))
            items = await self._in_turns(entries, lambda entry: _partial_json(resource, entry.value, form.version))
            return finished(_json_list(kind, metadata, items), form)
        if form.media_type == PROTOBUF:
            parts = [delimited(2, entry.value) for entry in entries]
            return envelope(list_kind(resource), delimited(1, metadata.SerializeToString()) + b"".join(parts))
        items = await self._in_turns(entries, lambda entry: self.cache.of(resource, entry))
        return finished(_json_list(list_kind(resource), metadata, items), form)

    async def collection(
        self, resource: Resource[Message], metadata: meta_pb2.ListMeta, written: Sequence[WriteResult], form: Accepted
    ) -> bytes:
        """Write the list of objects that a deletion of a collection has taken."""
        if form.media_type == PROTOBUF:
            parts = [delimited(2, _encoded(resource, one)[1]) for one in written]
            return envelope(list_kind(resource), delimited(1, metadata.SerializeToString()) + b"".join(parts))
        items = [dump(_written(one)) for one in written]
        return finished(_json_list(list_kind(resource), metadata, items), form)

    async def _in_turns(self, entries: Sequence[Entry], encode: Callable[[Entry], bytes]) -> list[bytes]:
        parts: list[bytes] = []
        for start in range(0, len(entries), _TURN):
            if start:
                await asyncio.sleep(0)
            parts += [encode(entry) for entry in entries[start : start + _TURN]]
        return parts

    # --- Table and PartialObjectMetadata

    def _converted(
        self, resource: Resource[Message], answer: Answer, form: Accepted, include: str, *, columns: bool
    ) -> bytes:
        _, value = _encoded(resource, answer)
        if form.convert == TABLE:
            if isinstance(answer, autoscaling_pb2.Scale):
                made = self._tables.of_scale(answer, meta_pb2.TableOptions(includeObject="None"))
                shown = [Column(one.name, one.description, one.priority, one.type) for one in made.columnDefinitions]
                row = dump({"cells": list(made.rows[0].cells), "object": _metadata_of(answer.metadata, form.version)})
                metadata = meta_pb2.ListMeta(resourceVersion=answer.metadata.resourceVersion)
                return finished(_table(shown, [row], metadata, form.version), form)
            if not isinstance(answer, Entry | WriteResult):
                return self.object(resource, answer, form._replace(convert=""))
            row = self._row(resource, value, include, form)
            metadata = meta_pb2.ListMeta(resourceVersion=str(answer.revision or ""))
            return finished(_table(resource.columns if columns else (), [row], metadata, form.version), form)
        if form.convert != PARTIAL:
            raise errors.NotAcceptable(
                f"you requested {form.convert}, but the requested object is not a list ({_type_name(resource)})"
            )
        kind = GroupVersionKind(f"{META}/{form.version}", PARTIAL)
        if form.media_type == PROTOBUF:
            return envelope(kind, _partial(resource, value))
        return finished(_partial_json(resource, value, form.version), form)

    def _row(self, resource: Resource[Message], value: bytes, include: str, form: Accepted) -> bytes:
        obj = resource.message.FromString(value)
        row: dict[str, Any] = {
            "cells": [
                _cell(text, column)
                for text, column in zip(
                    self._tables.cells_of(resource, obj, self._clock.time()), resource.columns, strict=False
                )
            ]
        }
        if include == "Object":
            row["object"] = jsoncache.ordered(gvk_of(resource), message_to_dict(obj))
        elif include in ("", "Metadata"):
            row["object"] = _metadata_of(meta_of(obj), form.version)
        return dump(row)

    def bookmark(self, resource: Resource[Message], obj: Message, form: Accepted) -> bytes:
        """Write the object of a bookmark, of which only the metadata says something."""
        if form.convert == TABLE:
            metadata = meta_pb2.ListMeta(resourceVersion=meta_of(obj).resourceVersion)
            return _table((), [], metadata, form.version)
        if form.convert:
            return self._converted(resource, obj, form, "", columns=False)
        if form.media_type == PROTOBUF:
            return envelope(gvk_of(resource), obj.SerializeToString())
        return dump(jsoncache.ordered(gvk_of(resource), message_to_dict(obj)))


def check_include(include: str) -> None:
    """Refuse an ``includeObject`` that means nothing; BadRequest."""
    if include not in ("", "None", "Metadata", "Object"):
        raise errors.BadRequest(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )


def finished(body: bytes, form: Accepted) -> bytes:
    """Give JSON in the form that was asked for: for people, or as YAML."""
    if form.media_type == YAML:
        return to_yaml(orjson.loads(body)).encode()
    if form.pretty:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2) + b"\n"
    return body + b"\n"


def content_type(form: Accepted, *, stream: bool = False) -> str:
    """Name the form in an answer's header."""
    return f"{PROTOBUF};stream=watch" if stream and form.media_type == PROTOBUF else form.media_type


def length_delimited(frame: bytes) -> bytes:
    """Frame one message of a stream in protobuf: four bytes of its length before it."""
    return struct.pack(">I", len(frame)) + frame


def _cell(text: str, column: Column) -> str | int:
    if column.type == "integer" and text.removeprefix("-").isdecimal():
        return int(text)
    return text


def _type_name(resource: Resource[Message]) -> str:
    return f"{resource.version}.{resource.kind}"


def _encoded(resource: Resource[Message], answer: Answer) -> tuple[GroupVersionKind, bytes]:
    """Give the kind of an answer and its encoded message, resourceVersion included."""
    if isinstance(answer, Entry):
        return gvk_of(resource), answer.value
    if isinstance(answer, WriteResult):
        return gvk_of(resource), _value(answer)
    return message_kind(answer), answer.SerializeToString()


def _value(result: WriteResult) -> bytes:
    from google.protobuf.any_pb2 import Any as AnyMessage

    return AnyMessage.FromString(result.any).value


def _written(result: WriteResult) -> dict[str, Any]:
    body = message_to_dict(result.obj)
    if result.revision:
        metadata = body["metadata"]
        metadata["resourceVersion"] = str(result.revision)
        body["metadata"] = dict(sorted(metadata.items()))
    return body


def _message(answer: Message) -> dict[str, Any]:
    body = message_to_dict(answer)
    if isinstance(answer, meta_pb2.Status) and not body.get("details"):
        body.pop("details", None)
    return body


def _metadata_of(metadata: meta_pb2.ObjectMeta, version: str) -> dict[str, Any]:
    return {"kind": PARTIAL, "apiVersion": f"{META}/{version}", "metadata": message_to_dict(metadata)}


def _partial(resource: Resource[Message], value: bytes) -> bytes:
    return delimited(1, meta_of(resource.message.FromString(value)).SerializeToString())


def _partial_json(resource: Resource[Message], value: bytes, version: str) -> bytes:
    return dump(_metadata_of(meta_of(resource.message.FromString(value)), version))


def _json_list(kind: GroupVersionKind, metadata: meta_pb2.ListMeta, items: Sequence[bytes]) -> bytes:
    start = dump({"kind": kind.kind, "apiVersion": kind.api_version, "metadata": message_to_dict(metadata)})
    return b"".join((start[:-1], b',"items":[', b",".join(items), b"]}"))


def _table(columns: Sequence[Column], rows: Sequence[bytes], metadata: meta_pb2.ListMeta, version: str) -> bytes:
    definitions = [
        {
            "name": column.name,
            "type": column.type,
            "format": "name" if column.name == "Name" else "",
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns
    ]
    start = dump(
        {
            "kind": TABLE,
            "apiVersion": f"{META}/{version}",
            "metadata": message_to_dict(metadata),
            "columnDefinitions": definitions,
        }
    )
    return b"".join((start[:-1], b',"rows":[', b",".join(rows), b"]}"))
