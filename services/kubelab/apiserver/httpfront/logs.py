"""``GET …/pods/NAME/log``: a container's log as plain text, which goes on as it is written where it is followed."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from aiohttp import web

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.manifest import jsonmapping
from kubelab.apiserver.endpoints.podlogs import PodLogs
from kubelab.apiserver.httpfront import queryparams
from kubelab.apiserver.httpfront.routes import Call, Routes
from kubelab.rpc.kubelet.v1 import kubelet_pb2

SEND_SECONDS = 60.0  # for a client to take what it was sent, before it counts as gone


class LogPath:
    """Answers for the subresource ``log`` of pods."""

    def __init__(self, logs: PodLogs, clock: Clock) -> None:
        self._logs, self._clock = logs, clock

    def add_to(self, routes: Routes) -> None:
        routes.add_stream("", "pods", "log", self._answer)

    async def _answer(self, call: Call) -> web.StreamResponse:
        if call.raw.method not in ("GET", "HEAD"):
            raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
        options = read_options(call.raw.query)
        chunks = self._logs.read(call.request, options, announce=options.follow)
        try:
            first = await anext(chunks, b"")  # what is refused is so before the answer begins
            response = web.StreamResponse(headers={"Content-Type": "text/plain", "Cache-Control": "no-cache, private"})
            response.enable_chunked_encoding()
            await response.prepare(call.raw)
            await self._send(call, response, first)
            await self._send_all(call, response, chunks)
            await response.write_eof()
        finally:
            await chunks.aclose()
        return response

    async def _send_all(self, call: Call, response: web.StreamResponse, chunks: AsyncGenerator[bytes]) -> None:
        try:
            async for chunk in chunks:
                await self._send(call, response, chunk)
        except errors.ApiError as err:
            if call.raw.transport is not None:
                call.raw.transport.abort()  # so that the client does not take a part for the whole
            raise ConnectionResetError(err.message) from err

    async def _send(self, call: Call, response: web.StreamResponse, chunk: bytes) -> None:
        data = kubelet_pb2.ContainerLogsChunk.FromString(chunk).data
        if not data:
            return
        try:
            async with self._clock.timeout(SEND_SECONDS):
                await response.write(data)
        except TimeoutError:
            if call.raw.transport is not None:
                call.raw.transport.abort()
            raise ConnectionResetError("the client of a log takes nothing") from None


def read_options(query: queryparams.Query) -> core_pb2.PodLogOptions:
    """Read the parameters; BadRequest."""
    options = queryparams.read(query, core_pb2.PodLogOptions)
    if "sinceTime" in set(query.keys()):
        text = query.getall("sinceTime")[0]
        moment = jsonmapping.parse_time(text)
        if moment is None:
            raise errors.BadRequest(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse it')
        options.sinceTime.seconds, options.sinceTime.nanos = moment
    return options
