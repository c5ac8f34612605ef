"""One HTTP request from its first byte to its last: who asks, what for, and which answer an error is."""

from __future__ import annotations

import asyncio
import functools
import ssl
from dataclasses import dataclass

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import ApiError
from kubelab.apiserver.endpoints.handler import RequestHandler
from kubelab.apiserver.endpoints.verbs import Endpoints
from kubelab.apiserver.httpfront import paths, status
from kubelab.apiserver.httpfront.answers import Answers
from kubelab.apiserver.httpfront.bodies import MAX_BODY
from kubelab.apiserver.httpfront.routes import Call, Route, Routes
from kubelab.apiserver.httpfront.status import flow_headers
from kubelab.apiserver.httpfront.verbs import Verbs
from kubelab.apiserver.registry.tables import Tables
from kubelab.apiserver.request import Request, RequestPath
from kubelab.apiserver.resources.table import Resources
from kubelab.client import runtimeerrors
from kubelab.rpc import tracing

log = structlog.get_logger()

BODY_SECONDS = 60.0  # for the body of a request to come in
SEND_SECONDS = 60.0  # for an answer to be taken
PIECE = 256 * 1024  # bytes
_NO_PATH = RequestPath()
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(slots=True)
class _Exchange:
    """One request of aiohttp's, and what it is to us."""

    raw: web.BaseRequest
    request: Request | None = None


class HTTPFront:
    """Answers HTTP requests. ``routes`` takes what is no resource; its owners register there."""

    def __init__(
        self, endpoints: Endpoints, handler: RequestHandler, resources: Resources, tables: Tables, clock: Clock
    ) -> None:
        self._handler, self._clock = handler, clock
        self.routes = Routes()
        self.answers = Answers(tables, clock)
        self._verbs = Verbs(endpoints, resources, self.answers, self.read_body, clock)

    async def __call__(self, raw: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, whatever becomes of it. A client that does not take the answer in time is disconnected."""
        exchange = _Exchange(raw)
        response = await self._answered(exchange)
        request = exchange.request
        if not response.prepared:
            response.headers.update(flow_headers(request))
        if isinstance(response, web.Response) and not response.prepared:
            try:
                async with self._clock.timeout(SEND_SECONDS):
                    return await _sent(raw, response)
            except TimeoutError:
                if raw.transport is not None:
                    raw.transport.abort()
                raise ConnectionResetError("the client does not take its answer") from None
            finally:
                if request is not None:
                    self._handler.answer_taken(request)
        return response

    async def _answered(self, exchange: _Exchange) -> web.StreamResponse:
        raw = exchange.raw
        try:
            response = await self._answer(exchange)
            request = exchange.request
            if request is not None and isinstance(response, web.Response) and isinstance(response.body, bytes):
                self._handler.hold_answer(request, len(response.body))
            return response
        except ApiError as err:
            return status.response(err, raw.headers.get("Accept", ""))
        except (asyncio.CancelledError, ConnectionError, HttpProcessingError):
            raise
        except Exception:  # noqa: BLE001 — a bug, which is logged and counted
            runtimeerrors.handle_error(log, "answering over HTTP", f"{raw.method} {raw.path}")
            return status.response(errors.InternalError("Internal error occurred: this is a bug, and it was logged"))

    async def _answer(self, exchange: _Exchange) -> web.StreamResponse:
        raw = exchange.raw
        path = raw.rel_url.path
        url = paths.parse(path)
        verb = _VERBS.get(raw.method, raw.method.lower())
        request = exchange.request = request_of(raw, verb, url.path if url is not None else _NO_PATH)
        call = Call(raw, request, url)
        if url is None:
            return await self._answer_path(call, path)
        await self._handler.identify(call.request)
        stream = self.routes.stream(url)
        if stream is not None:
            return await stream(call)
        try:
            call.request.verb = await self._verbs.verb_of(call)
            return await self._verbs.answer(call)
        except ApiError as err:
            if not isinstance(err, errors.Forbidden):
                await self._handler.check_target(call.request)
            raise

    async def _answer_path(self, call: Call, path: str) -> web.StreamResponse:
        route = self.routes.find(path)
        if route is not None and route.open:
            return await _routed(call, route)
        async with self._handler.reading(call.request, path):
            if route is None:
                return web.json_response({"paths": self.routes.paths}, status=404)
            return await _routed(call, route)

    async def read_body(self, raw: web.BaseRequest) -> bytes:
        """Read the body of a request. TooLarge, Timeout for one that does not come."""
        if raw.content_length is not None and raw.content_length > MAX_BODY:
            raise _too_large()
        parts: list[bytes] = []
        size = 0
        try:
            async with self._clock.timeout(BODY_SECONDS):
                async for part in raw.content.iter_any():
                    size += len(part)
                    if size > MAX_BODY:
                        raise _too_large()
                    parts.append(part)
        except TimeoutError:
            raise errors.Timeout(f"the body of the request did not come within {BODY_SECONDS:.0f} seconds") from None
        return b"".join(parts)


async def _routed(call: Call, route: Route) -> web.StreamResponse:
    if call.raw.method not in route.methods:
        raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
    return await route.handler(call)


async def _sent(raw: web.BaseRequest, response: web.Response) -> web.StreamResponse:
    """Send an answer; a long one in pieces, for asyncio's TLS takes any amount at once and never says that it waits."""
    body = response.body
    if not isinstance(body, bytes) or len(body) <= PIECE or raw.method == "HEAD":
        await response.prepare(raw)
        await response.write_eof()
        return response
    streamed = web.StreamResponse(status=response.status, headers=response.headers)
    streamed.content_length = len(body)
    await streamed.prepare(raw)
    for start in range(0, len(body), PIECE):
        await streamed.write(body[start : start + PIECE])
    await streamed.write_eof()
    return streamed


def request_of(raw: web.BaseRequest, verb: str, path: RequestPath) -> Request:
    """Frame a request: its path, its client's certificate, its headers."""
    headers = [(key.lower(), value) for key, value in raw.headers.items()]
    if tracing.CALLER not in raw.headers and (agent := raw.headers.get("User-Agent")):
        headers.append((tracing.CALLER, agent))
    return Request(verb, path, certificate_of(raw.transport), headers)


def certificate_of(transport: asyncio.BaseTransport | None) -> bytes:
    """Give the client's certificate, PEM, as the handshake has verified it; empty where it showed none."""
    secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object") if transport is not None else None
    shown = secured.getpeercert(binary_form=True) if secured is not None else None
    return _pem(shown) if shown else b""


@functools.lru_cache(maxsize=1024)
def _pem(certificate: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(certificate).encode()


def _too_large() -> errors.TooLarge:
    return errors.TooLarge(f"Request entity too large: limit is {MAX_BODY}")
