"""The verbs as gRPC methods. Answers are bytes that are encoded already: the objects in them are the stored bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.meta import INITIAL_EVENTS_END, meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apimachinery.wireformat import delimited
from kubelab.apiserver.endpoints.verbs import Answer, Endpoints
from kubelab.apiserver.grpcfront.requests import Context, request_of
from kubelab.apiserver.registry.reader import ObjectList
from kubelab.apiserver.registry.tables import Tables
from kubelab.apiserver.request import Request
from kubelab.apiserver.storage.wire import object_response, watch_event
from kubelab.apiserver.watchcache.changes import BOOKMARK, Change, Entry, InitialEventsEnd
from kubelab.rpc import warnings
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.channels import MAX_MESSAGE_BYTES

SERVICE = "kubelab.rpc.apiserver.v1.Resources"
_FRAME, _HEAD = 6, 4096  # bytes that an object, and a list, take in an answer besides what is in them


class ResourcesServicer:
    """Frames the verbs' requests and answers. Errors go to the server's edge, which turns them into statuses."""

    def __init__(self, endpoints: Endpoints, tables: Tables) -> None:
        self._endpoints, self._tables = endpoints, tables

    def add_to(self, server: Any) -> None:
        """Register the methods; answers need no serializer."""
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        handlers: dict[str, Any] = {
            "Get": unary(self.get, pb.GetRequest.FromString),
            "List": unary(self.list, pb.ListRequest.FromString),
            "Watch": stream(self.watch, pb.WatchRequest.FromString),
            "Create": unary(self.create, pb.CreateRequest.FromString),
            "Update": unary(self.update, pb.UpdateRequest.FromString),
            "Patch": unary(self.patch, pb.PatchRequest.FromString),
            "Delete": unary(self.delete, pb.DeleteRequest.FromString),
            "DeleteCollection": unary(self.delete_collection, pb.DeleteCollectionRequest.FromString),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        server.add_registered_method_handlers(SERVICE, handlers)

    async def get(self, message: pb.GetRequest, context: Context) -> bytes:
        request = request_of(context, "get", message.path)
        encode = partial(self._shown, request, message.table) if message.HasField("table") else _object
        return _read(context, request, await self._endpoints.get(request, message.options, encode))

    async def list(self, message: pb.ListRequest, context: Context) -> bytes:
        options = message.options
        request = request_of(context, "list", message.path, field_selector=options.fieldSelector)
        request.limit = options.limit
        async with self._endpoints.listing(request, options) as listed:
            answer = self._listed_as_table(message.table, listed) if message.HasField("table") else _listed(listed)
        taken = self._endpoints.hold_answer(request, len(answer))
        if request.unsent:
            cast(Any, context).add_done_callback(taken)
        return _read(context, request, answer)

    async def watch(self, message: pb.WatchRequest, context: Context) -> AsyncGenerator[bytes]:
        options = message.options
        request = request_of(context, "watch", message.path, field_selector=options.fieldSelector)
        table = message.table if message.HasField("table") else None
        events = self._endpoints.watch(request, options)
        try:
            async for kind, change in events:
                if isinstance(change, int):
                    yield watch_event(BOOKMARK, _initial_end(request, change), change)
                elif table is None:
                    yield change.frame(kind)
                else:
                    yield self._event_as_table(request, table, kind, change)
        finally:
            await events.aclose()

    async def create(self, message: pb.CreateRequest, context: Context) -> bytes:
        request = request_of(context, "create", message.path, content=message.object)
        return _written(context, request, await self._endpoints.create(request, message.options))

    async def update(self, message: pb.UpdateRequest, context: Context) -> bytes:
        request = request_of(context, "update", message.path, content=message.object)
        return _written(context, request, await self._endpoints.update(request, message.options))

    async def patch(self, message: pb.PatchRequest, context: Context) -> bytes:
        request = request_of(context, "patch", message.path)
        answer = await self._endpoints.patch(request, message.type, message.patch, message.options)
        return _written(context, request, answer)

    async def delete(self, message: pb.DeleteRequest, context: Context) -> bytes:
        request = request_of(context, "delete", message.path)
        return _written(context, request, await self._endpoints.delete(request, message.options))

    async def delete_collection(self, message: pb.DeleteCollectionRequest, context: Context) -> bytes:
        options = message.list_options
        request = request_of(context, "deletecollection", message.path, field_selector=options.fieldSelector)
        done = await self._endpoints.delete_collection(request, options, message.options)
        head = delimited(1, done.metadata.SerializeToString())
        return head + b"".join([delimited(2, result.any) for result in done.deleted])

    def _shown(self, request: Request, options: meta_pb2.TableOptions, answer: Answer) -> bytes:
        """Encode an ``ObjectResponse`` with a table of one row."""
        if isinstance(answer, autoscaling_pb2.Scale):
            table = self._tables.of_scale(answer, options)
        elif not isinstance(answer, Entry):
            return _object(answer)
        else:
            table = self._tables.make(request.resource, [answer.value], options, str(answer.revision))
        return object_response(self._tables.pack(table))

    def _listed_as_table(self, options: meta_pb2.TableOptions, listed: ObjectList) -> bytes:
        values = [entry.value for entry in listed.entries]
        table = self._tables.make(listed.resource, values, options, str(listed.revision))
        metadata = listed.metadata
        table.metadata.CopyFrom(metadata)
        _check_size(listed.resource, len(values), table.ByteSize())
        return delimited(1, metadata.SerializeToString()) + delimited(3, table.SerializeToString())

    def _event_as_table(self, request: Request, options: meta_pb2.TableOptions, kind: int, change: Change) -> bytes:
        table = self._tables.make(request.resource, [change.value(kind)], options, str(change.revision))
        return watch_event(kind, self._tables.pack(table), change.revision)


def _read(context: Context, request: Request, answer: bytes) -> bytes:
    if request.warnings:
        context.set_trailing_metadata(warnings.metadata(request.warnings))
    return answer


def _initial_end(request: Request, revision: int) -> bytes:
    """Encode the object of the bookmark after the initial events, which says so; nothing for any other."""
    if not isinstance(revision, InitialEventsEnd):
        return b""
    obj = request.resource.new()
    m = meta_of(obj)
    m.resourceVersion = str(revision)
    m.annotations[INITIAL_EVENTS_END] = "true"
    return scheme.pack(obj).SerializeToString()


def _written(context: Context, request: Request, answer: Answer) -> bytes:
    if request.warnings:
        context.set_trailing_metadata(warnings.metadata(request.warnings))
    return _object(answer)


def _object(answer: Answer) -> bytes:
    """Encode an ``ObjectResponse``."""
    if isinstance(answer, Message):
        return object_response(scheme.pack(answer).SerializeToString())
    return object_response(answer.any)


def _listed(listed: ObjectList) -> bytes:
    """Encode a ``ListResponse``."""
    entries = listed.entries
    _check_size(listed.resource, len(entries), sum(len(entry.any) + _FRAME for entry in entries))
    head = delimited(1, listed.metadata.SerializeToString())
    return head + b"".join([delimited(2, entry.any) for entry in entries])


def _check_size(resource: Resource[Message], count: int, size: int) -> None:
    """Refuse a list that no client would take in one message; TooLarge says what to ask for instead."""
    if size <= MAX_MESSAGE_BYTES - _HEAD:
        return
    why = (
        f"the list of {count} {resource.plural} has {size / 2**20:.1f} MiB, and an answer may have "
        f"{MAX_MESSAGE_BYTES // 2**20} MiB: ask for it in pieces, with limit and continue"
    )
    raise errors.TooLarge(why, group=resource.group, kind=resource.plural)
