"""The listener of the HTTP front: TLS with an optional client certificate, and bounds on what a connection may take."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler as ConnectionHandler

from kubelab.component import descriptors, sockets
from kubelab.component.config import TLS, ConfigError
from kubelab.component.httptls import ServerContext

log = structlog.get_logger()

HANDSHAKE_SECONDS = 10.0
IDLE_SECONDS = 120.0  # for the head of the next request, the first included
STOP_SECONDS = 1.0  # for requests that are under way when the server stops
MAX_LINE = 128 * 1024  # of a request's line; a selector may have 64 KiB
MAX_FIELD = 32 * 1024  # of one header

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Connection(ConnectionHandler):
    """One connection. What is no HTTP is answered in short, as Go does it, and logged for those who debug."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        del message
        if request.writer.output_size > 0:
            raise ConnectionResetError("the answer has begun") from exc
        log.debug("a request could not be read", peer=request.remote, status=status, error=str(exc))
        phrase = HTTPStatus(status).phrase
        response = web.Response(status=status, text=f"{status} {phrase}")
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> ConnectionHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Refused(asyncio.Protocol):
    """A connection beyond the bound."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


@contextlib.asynccontextmanager
async def serve_http(address: str, handle: Handle, *, tls: TLS | None, share_port: bool = False) -> AsyncGenerator[int]:
    """Answer HTTPS on ``host:port`` until the body ends; gives the port. ``handle`` gets every request, and is
    cancelled when its client vanishes.

    Raises ConfigError when the address cannot be had, or a file cannot be read.
    """
    host, _, port = address.rpartition(":")
    if tls is None:
        raise ConfigError("tls: required value, expected ca, certificate and key")
    try:
        context = _context(ServerContext(tls))
    except OSError as err:
        raise ConfigError(f"tls: {err}") from err
    server = _Server(
        handle,
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=IDLE_SECONDS,
        lingering_time=2.0,  # in which what a refused client still sends is read
        max_line_size=MAX_LINE,
        max_field_size=MAX_FIELD,
    )
    most = descriptors.connections()

    def connect() -> asyncio.Protocol:
        return _Refused() if len(server.connections) >= most else server()

    try:
        listener = await asyncio.get_running_loop().create_server(
            connect,
            host.strip("[]") or None,
            int(port),
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            reuse_port=share_port or None,
        )
    except (OSError, ValueError) as err:
        held = sockets.holder(int(port)) if port.isdecimal() and int(port) else ""
        why = f"{held} holds the port" if held else str(err)
        raise ConfigError(f"httpBindAddress: cannot listen on {address}: {why}") from err
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await server.shutdown(STOP_SECONDS)


def _context(renewed: ServerContext) -> ssl.SSLContext:
    """Make the listener's context; each handshake is made with the certificate that the files have then."""

    def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        del name, context
        current = renewed.current()
        if current is not connection.context:
            current.set_alpn_protocols(["http/1.1"])
            connection.context = current

    context = renewed.current()
    context.set_alpn_protocols(["http/1.1"])
    context.sni_callback = choose
    return context
