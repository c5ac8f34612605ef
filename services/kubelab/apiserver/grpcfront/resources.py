"""The verbs as gRPC methods: admit, call, convert. Answers are bytes that are encoded already."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import scheme
from kubelab.apiserver.endpoints.handler import Call, Context, RequestHandler
from kubelab.apiserver.registry.reader import ObjectReader
from kubelab.apiserver.registry.writer import ObjectWriter, WriteResult
from kubelab.apiserver.storage.wire import delimited, object_response
from kubelab.apiserver.subresources import Subresources
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb

SERVICE = "kubelab.rpc.apiserver.v1.Resources"


class ResourcesServicer:
    """No rule about any resource lives here."""

    def __init__(
        self, gate: RequestHandler, reader: ObjectReader, writer: ObjectWriter, subresources: Subresources
    ) -> None:
        self._gate, self._reader, self._writer, self._subresources = gate, reader, writer, subresources

    def add_to(self, server: Any) -> None:
        """Register the methods; answers need no serializer."""
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        handlers: dict[str, Any] = {
            "Get": unary(self.get, pb.GetRequest.FromString),
            "List": unary(self.list, pb.ListRequest.FromString),
            "Watch": stream(self.watch, pb.WatchRequest.FromString),
            "Create": unary(self.create, pb.CreateRequest.FromString),
            "Update": unary(self.update, pb.UpdateRequest.FromString),
            "Delete": unary(self.delete, pb.DeleteRequest.FromString),
            "DeleteCollection": unary(self.delete_collection, pb.DeleteCollectionRequest.FromString),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        server.add_registered_method_handlers(SERVICE, handlers)

    async def get(self, request: pb.GetRequest, context: Context) -> bytes:
        path = request.path
        async with self._gate.admit(context, "get", path) as call:
            if path.subresource == "scale":
                return _packed(await self._subresources.get_scale(path.namespace, path.name))
            table = request.table if request.HasField("table") else None
            return await self._reader.get(call.resource, path.namespace, path.name, request.options, table)

    async def list(self, request: pb.ListRequest, context: Context) -> bytes:
        path, options = request.path, request.options
        async with self._gate.admit(context, "list", path, fields=options.fieldSelector) as call:
            table = request.table if request.HasField("table") else None
            return await self._reader.list(call.resource, path.namespace, options, table)

    async def watch(self, request: pb.WatchRequest, context: Context) -> AsyncGenerator[bytes]:
        path, options = request.path, request.options
        async with self._gate.admit(context, "watch", path, fields=options.fieldSelector) as call:
            table = request.table if request.HasField("table") else None
            async for event in self._reader.watch(call.resource, path.namespace, options, table):
                yield event

    async def create(self, request: pb.CreateRequest, context: Context) -> bytes:
        path = request.path
        async with self._gate.admit(context, "create", path, obj=request.object) as call:
            if path.subresource == "binding" or call.resource is scheme.BINDINGS:
                return await self._bind(call)
            return _answer(call, await self._writer.create(call.resource, path.namespace, call.obj, call.admit))

    async def _bind(self, call: Call) -> bytes:
        binding = cast(core_pb2.Binding, call.obj)
        call.detail = binding.target.name
        written = await self._subresources.bind(call.namespace, call.name, binding)
        call.wrote(written.obj, written.revision)
        return _packed(meta_pb2.Status(status="Success", code=201))

    async def update(self, request: pb.UpdateRequest, context: Context) -> bytes:
        path = request.path
        async with self._gate.admit(context, "update", path, obj=request.object) as call:
            if path.subresource == "scale":
                scale = cast(autoscaling_pb2.Scale, call.obj)
                return _packed(await self._subresources.set_scale(path.namespace, path.name, scale, call))
            written = await self._writer.update(
                call.resource, path.namespace, path.name, call.obj, path.subresource, call.admit
            )
            return _answer(call, written)

    async def delete(self, request: pb.DeleteRequest, context: Context) -> bytes:
        path = request.path
        async with self._gate.admit(context, "delete", path) as call:
            written = await self._writer.delete(call.resource, path.namespace, path.name, request.options, call.admit)
            return _answer(call, written)

    async def delete_collection(self, request: pb.DeleteCollectionRequest, context: Context) -> bytes:
        path, options = request.path, request.list_options
        async with self._gate.admit(context, "deletecollection", path, fields=options.fieldSelector) as call:
            wanted = self._reader.selection(call.resource, path.namespace, options)
            after = self._reader.after(call.resource, getattr(options, "continue"))
            done = await self._writer.delete_collection(
                call.resource, wanted, request.options, limit=max(0, options.limit), after=after
            )
            m = self._reader.progress(call.resource, done.revision, done.key, done.left)
            return delimited(1, m.SerializeToString()) + b"".join([delimited(2, w.any) for w in done.written])


def _answer(call: Call, written: WriteResult) -> bytes:
    call.wrote(written.obj, written.revision)
    call.warnings = written.warnings
    return object_response(written.any)


def _packed(message: Message) -> bytes:
    return object_response(scheme.pack(message).SerializeToString())
