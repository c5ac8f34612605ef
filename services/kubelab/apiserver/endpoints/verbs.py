"""The verbs, for every resource. No rule about any resource lives here, and nothing about a transport."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.authz.authorizer import Authorizer
from kubelab.apiserver.endpoints.handler import RequestHandler, method_not_allowed
from kubelab.apiserver.registry.reader import ObjectList, ObjectReader
from kubelab.apiserver.registry.writer import ObjectWriter
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.subresource import Action, Subresource
from kubelab.apiserver.resources.writes import Decide, WriteResult
from kubelab.apiserver.watchcache.changes import Change, Entry
from kubelab.auth.attributes import Attributes

R = TypeVar("R")

Answer: TypeAlias = Entry | WriteResult | Message
"""One object: as the cache has it, as a write left it, or a message of its own."""


class Collection(NamedTuple):
    """What a deletion of many objects has done, and how it goes on."""

    metadata: meta_pb2.ListMeta
    deleted: list[WriteResult]


@dataclass(frozen=True, slots=True)
class StoredObjects:
    """What actions may do with stored objects."""

    reader: ObjectReader
    writer: ObjectWriter
    authorizer: Authorizer
    clock: Clock

    async def entry(self, resource: Resource[Message], namespace: str, name: str) -> Entry:
        return await self.reader.entry(resource, namespace, name)

    async def decide(self, a: Attributes) -> tuple[bool, str]:
        return await self.authorizer.decide(a)

    async def rewrite(self, resource: Resource[Message], namespace: str, name: str, decide: Decide) -> WriteResult:
        return await self.writer.rewrite(resource, namespace, name, decide)


class Endpoints:
    """Does what requests ask. Every method raises :mod:`kubelab.apimachinery.errors`.

    Reads hand what they found to ``encode``, so that the front's part of the work is measured and audited too.
    """

    def __init__(
        self,
        handler: RequestHandler,
        reader: ObjectReader,
        writer: ObjectWriter,
        authorizer: Authorizer,
        clock: Clock,
    ) -> None:
        self._handler, self._reader, self._writer = handler, reader, writer
        self._objects = StoredObjects(reader, writer, authorizer, clock)

    async def get(self, request: Request, options: meta_pb2.GetOptions, encode: Callable[[Answer], R]) -> R:
        """Read one object; of a subresource what it gives."""
        async with self._handler.handling(request) as subresource:
            if subresource is not None and subresource.get is not None:
                return encode(await subresource.get(self._objects, request))
            _require_object(request, subresource)
            return encode(
                await self._reader.entry(request.resource, request.namespace, request.name, options.resourceVersion)
            )

    async def list(self, request: Request, options: meta_pb2.ListOptions, encode: Callable[[ObjectList], R]) -> R:
        """Read a collection, or a piece of it."""
        async with self._handler.handling(request):
            return encode(await self._reader.list(request.resource, request.namespace, options))

    async def watch(self, request: Request, options: meta_pb2.ListOptions) -> AsyncGenerator[tuple[int, Change | int]]:
        """Follow a collection: event types with their change, a bookmark with its revision."""
        async with self._handler.handling(request):
            events = await self._reader.watch(request.resource, request.namespace, options)
            try:
                async for event in events:
                    yield event
            finally:
                await events.aclose()

    async def create(self, request: Request) -> Answer:
        """Store a new object, or do what creating one means for a subresource."""
        async with self._handler.handling(request) as subresource:
            if subresource is not None:
                return await self._act(request, subresource.create)
            result = await self._writer.create(request.resource, request.namespace, request.obj, request.admission)
            return _note(request, result)

    async def update(self, request: Request) -> Answer:
        """Replace an object, or a part of it."""
        async with self._handler.handling(request) as subresource:
            if subresource is not None and subresource.update is not None:
                return await self._act(request, subresource.update)
            _require_object(request, subresource)
            result = await self._writer.update(
                request.resource,
                request.namespace,
                request.name,
                request.obj,
                request.path.subresource,
                request.admission,
            )
            return _note(request, result)

    async def delete(self, request: Request, options: meta_pb2.DeleteOptions) -> Answer:
        """Begin or complete the deletion of an object."""
        async with self._handler.handling(request):
            result = await self._writer.delete(
                request.resource, request.namespace, request.name, options, request.admission
            )
            return _note(request, result)

    async def delete_collection(
        self, request: Request, list_options: meta_pb2.ListOptions, options: meta_pb2.DeleteOptions
    ) -> Collection:
        """Delete all objects that are selected, or a piece of them."""
        async with self._handler.handling(request):
            resource, token = request.resource, getattr(list_options, "continue")
            done = await self._writer.delete_collection(
                resource,
                self._reader.selection(resource, request.namespace, list_options),
                options,
                request.admission,
                limit=max(0, list_options.limit),
                after=self._reader.after(resource, token),
            )
            metadata = self._reader.progress(resource, done.revision, done.key, done.left)
            return Collection(metadata, done.written)

    async def _act(self, request: Request, action: Action | None) -> Message:
        if action is None:
            raise method_not_allowed(request.attributes)
        return await action(self._objects, request)


def _require_object(request: Request, subresource: Subresource | None) -> None:
    """Refuse a subresource that is no part of the object, such as a log."""
    if subresource is not None and (subresource.streamed or subresource.message is not None):
        raise method_not_allowed(request.attributes)


def _note(request: Request, result: WriteResult) -> WriteResult:
    request.wrote(result.obj, result.revision)
    request.warnings = result.warnings
    return result
