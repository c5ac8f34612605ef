"""The verbs over HTTP: from a method, a path and parameters to a request of the endpoints, and back to an answer."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.endpoints.patching import WARN
from kubelab.apiserver.endpoints.verbs import Answer, Endpoints
from kubelab.apiserver.httpfront import negotiation, queryparams
from kubelab.apiserver.httpfront.answers import Answers, check_include, content_type
from kubelab.apiserver.httpfront.bodies import Body, read_delete_options
from kubelab.apiserver.httpfront.negotiation import TABLE, Accepted
from kubelab.apiserver.httpfront.routes import Call
from kubelab.apiserver.httpfront.status import flow_headers, warning_headers
from kubelab.apiserver.httpfront.watches import WatchWriter
from kubelab.apiserver.resources.table import Resources
from kubelab.apiserver.resources.writes import WriteResult

GZIP_FROM = 128 * 1024  # bytes of an answer that is worth it, as upstream
_NOT_ALLOWED = "the server does not allow this method on the requested resource"
_NOT_FOUND = "the server could not find the requested resource"
_ON_COLLECTION = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_ON_OBJECT = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_ON_SUBRESOURCE = {"GET": "get", "PUT": "update", "PATCH": "patch", "POST": "create"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an answer must be like."""

    form: Accepted
    include: str


ReadBody = Callable[[web.BaseRequest], Awaitable[bytes]]


class Verbs:
    """Answers requests for resources. Raises :mod:`kubelab.apimachinery.errors`."""

    def __init__(
        self, endpoints: Endpoints, resources: Resources, answers: Answers, read_body: ReadBody, clock: Clock
    ) -> None:
        self._endpoints, self._resources, self._answers = endpoints, resources, answers
        self._read_body, self._clock = read_body, clock
        self._doers: Mapping[str, Callable[[Call, _Asked], Awaitable[web.StreamResponse]]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    async def verb_of(self, call: Call) -> str:
        """Name the verb of a request. NotFound and MethodNotAllowed where no such path, or method, is served."""
        assert call.url is not None
        path, method = call.url.path, call.raw.method
        table = _ON_SUBRESOURCE if path.subresource else _ON_OBJECT if path.name else _ON_COLLECTION
        verb = table.get(method)
        if verb is not None:
            call.request.verb = verb  # for those who are refused before more is known
        resource = await self._resources.find(path.group, path.resource, path.version)
        if resource is None or not self._has_subresource(resource, path.subresource):
            raise errors.NotFound(_NOT_FOUND)
        _check_scope(resource, call)
        if verb is None:
            raise errors.MethodNotAllowed(_NOT_ALLOWED)
        if verb == "list" and (call.url.watch or queryparams.flag(call.raw.query, "watch")):
            return "watch"
        return "watch" if verb == "get" and call.url.watch else verb

    def _has_subresource(self, resource: Resource[Message], name: str) -> bool:
        return not name or self._resources.subresource(resource, name) is not None

    async def answer(self, call: Call) -> web.StreamResponse:
        """Do what a request asks; its verb is known and its user identified."""
        header = call.raw.headers.get("Accept", "")
        verb = call.request.verb
        served = negotiation.STREAMED if verb == "watch" else negotiation.SERVED
        form = negotiation.accepted(header, served)
        query = call.raw.query
        if "pretty" in query:
            form = form._replace(pretty=queryparams.boolean(query["pretty"]))
        elif not form.pretty and negotiation.pretty_by_default(call.raw.headers.get("User-Agent", "")):
            form = form._replace(pretty=True)
        include = query.get("includeObject", "") if form.convert == TABLE else ""
        check_include(include)
        return await self._doers[verb](call, _Asked(form, include))

    # --- reads

    async def _get(self, call: Call, asked: _Asked) -> web.StreamResponse:
        request = call.request
        options = queryparams.read(call.raw.query, meta_pb2.GetOptions)
        body = await self._endpoints.get(
            request, options, lambda answer: self._answers.object(request.resource, answer, asked.form, asked.include)
        )
        return await self._respond(call, body, asked.form)

    async def _list(self, call: Call, asked: _Asked) -> web.StreamResponse:
        options = queryparams.read(call.raw.query, meta_pb2.ListOptions)
        call.request.field_selector, call.request.limit = options.fieldSelector, options.limit
        async with self._endpoints.listing(call.request, options) as listed:  # its seats are for the encoding too
            body = await self._answers.list(listed, asked.form, asked.include)
        return await self._respond(call, body, asked.form)

    async def _watch(self, call: Call, asked: _Asked) -> web.StreamResponse:
        request = call.request
        options = queryparams.read(call.raw.query, meta_pb2.ListOptions)
        if request.path.name:  # /api/v1/watch/namespaces/default/pods/web
            options.fieldSelector = f"metadata.name={request.path.name}"
            request.path = request.path._replace(name="")
        request.field_selector = options.fieldSelector
        resource = self._resources.by_plural(request.path.group, request.path.resource, request.path.version)
        if resource is None:
            raise errors.NotFound(_NOT_FOUND)
        writer = WatchWriter(self._answers, resource, asked.form, asked.include, self._clock)
        began = False
        try:
            async with self._endpoints.watching(request, options) as events:
                began = True
                headers = [*warning_headers(request.warnings), *flow_headers(request).items()]
                response = await writer.start(call.raw, headers)
                await writer.run(call.raw, response, events)
                return response
        except (errors.Expired, errors.Timeout) as err:
            if began:
                raise
            return await writer.fail(call.raw, err)  # as an event: the request itself was in order

    # --- writes

    async def _content(self, call: Call, validation: str) -> Body:
        media_type = negotiation.sent(call.raw.headers.get("Content-Type", ""))
        return Body(await self._read_body(call.raw), media_type, validation or WARN, [])

    async def _create(self, call: Call, asked: _Asked) -> web.StreamResponse:
        options = queryparams.read(call.raw.query, meta_pb2.CreateOptions)
        call.request.content = await self._content(call, options.fieldValidation)
        answer = await self._endpoints.create(call.request, options)
        return await self._written(call, asked, answer, 201)

    async def _update(self, call: Call, asked: _Asked) -> web.StreamResponse:
        options = queryparams.read(call.raw.query, meta_pb2.UpdateOptions)
        call.request.content = await self._content(call, options.fieldValidation)
        return await self._written(call, asked, await self._endpoints.update(call.request, options), 200)

    async def _patch(self, call: Call, asked: _Asked) -> web.StreamResponse:
        options = queryparams.read(call.raw.query, meta_pb2.PatchOptions)
        media_type = negotiation.bare(call.raw.headers.get("Content-Type", ""))
        data = await self._read_body(call.raw)
        answer = await self._endpoints.patch(call.request, media_type, data, options)
        return await self._written(call, asked, answer, 201 if call.request.created else 200)

    async def _delete(self, call: Call, asked: _Asked) -> web.StreamResponse:
        options = await self._delete_options(call)
        answer = await self._endpoints.delete(call.request, options)
        resource = call.request.resource
        storage = self._resources.storages.get(resource)  # None: a custom kind that went away meanwhile
        if isinstance(answer, WriteResult) and answer.removed and not (storage and storage.returns_deleted):
            answer = self._answers.deleted(resource, answer)
        return await self._written(call, asked, answer, 200)

    async def _delete_collection(self, call: Call, asked: _Asked) -> web.StreamResponse:
        request = call.request
        list_options = queryparams.read(call.raw.query, meta_pb2.ListOptions)
        request.field_selector = list_options.fieldSelector
        done = await self._endpoints.delete_collection(request, list_options, await self._delete_options(call))
        body = await self._answers.collection(request.resource, done.metadata, done.deleted, asked.form)
        return await self._respond(call, body, asked.form)

    async def _delete_options(self, call: Call) -> meta_pb2.DeleteOptions:
        """Read a deletion's options: from the body where there is one, else from the URL."""
        data = await self._read_body(call.raw)
        if not data:
            return queryparams.read(call.raw.query, meta_pb2.DeleteOptions)
        return read_delete_options(data, negotiation.sent(call.raw.headers.get("Content-Type", "")))

    async def _written(self, call: Call, asked: _Asked, answer: Answer, code: int) -> web.StreamResponse:
        if isinstance(answer, meta_pb2.Status) and code == 201:
            answer.code = answer.code or code
        body = self._answers.object(call.request.resource, answer, asked.form, asked.include)
        return await self._respond(call, body, asked.form, code)

    async def _respond(self, call: Call, body: bytes, form: Accepted, code: int = 200) -> web.Response:
        response = web.Response(status=code, headers={"Content-Type": content_type(form)})
        response.headers["Cache-Control"] = "no-cache, private"
        if call.raw.headers.get("Accept-Encoding"):
            response.headers["Vary"] = "Accept-Encoding"
        for name, value in warning_headers(call.request.warnings):
            response.headers.add(name, value)
        if len(body) > GZIP_FROM and "gzip" in call.raw.headers.get("Accept-Encoding", ""):
            body = await asyncio.to_thread(_gzipped, body)
            response.headers["Content-Encoding"] = "gzip"
        response.body = body
        return response


def _gzipped(body: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)  # a gzip header and trailer around it
    return packer.compress(body) + packer.flush()


def _check_scope(resource: Resource[Message], call: Call) -> None:
    """Refuse a namespace where none belongs, and a missing one."""
    assert call.url is not None
    path: Any = call.url.path
    if path.namespace and not resource.namespaced:
        raise errors.NotFound(_NOT_FOUND)
    if resource.namespaced and not path.namespace:
        if path.name and not call.url.watch:
            raise errors.NotFound(_NOT_FOUND)
        if call.raw.method != "GET" and "list" in resource.verbs:
            raise errors.MethodNotAllowed(_NOT_ALLOWED)
