"""``…/proxy/PATH`` of pods and services: a request of HTTP goes to the pod, and its answer comes back, as upstream's
``UpgradeAwareHandler`` does it. A connection that is upgraded goes on as bytes in both directions. Below that of a node
are the paths of its kubelet, which can only be read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import yarl
from aiohttp import web
from multidict import CIMultiDict

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.endpoints.proxying import Proxies, Target
from kubelab.apiserver.httpfront.routes import Call
from kubelab.spdy.upgrade import MAX_HEAD
from kubelab.streams.duplex import ForwardError, SocketDuplex, relay
from kubelab.streams.takeover import RawConnection, TakenOver, close, until_either_ends

HEAD_SECONDS = 60.0  # for the pod to begin its answer to an upgrade
_HOP_BY_HOP = frozenset(
    {"connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
_OURS = frozenset({"authorization", "host"})  # what was meant for the api-server alone
_IMPERSONATE = "impersonate-"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ProxyStreams:
    """Answers for the proxy subresources."""

    def __init__(self, proxies: Proxies, clock: Clock) -> None:
        self._proxies, self._clock = proxies, clock

    async def __call__(self, call: Call) -> web.StreamResponse:
        raw = call.raw
        if raw.method not in _METHODS:
            raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
        if raw.method == "OPTIONS":
            call.request.verb = "get"
        async with self._proxies.target(call.request) as target:
            if raw.headers.get("Upgrade"):
                return await self._upgrade(raw, target)
            if not _tail(raw) and raw.method in ("GET", "HEAD"):
                query = f"?{raw.rel_url.raw_query_string}" if raw.rel_url.raw_query_string else ""
                return web.Response(status=301, headers={"Location": f"{raw.rel_url.raw_path}/{query}"})
            return await self._forward(raw, target)

    async def node(self, call: Call) -> web.StreamResponse:
        """Answer for the proxy subresource of nodes."""
        raw = call.raw
        if raw.method not in ("GET", "HEAD"):
            raise errors.MethodNotAllowed("the server does not allow this method on the requested resource")
        page = await self._proxies.read_node(call.request, unquote(_tail(raw)) or "/")
        return web.Response(status=page.code, body=page.body, headers={"Content-Type": page.content_type})

    async def _forward(self, raw: web.BaseRequest, target: Target) -> web.StreamResponse:
        url = yarl.URL(f"{target.scheme}://{target.authority}{_target_path(raw)}", encoded=True)
        async with tunnel_to(target) as tunnel:
            connector = OneConnection(tunnel.sock, _context(target))
            session = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            try:
                async with (
                    session,
                    session.request(
                        raw.method,
                        url,
                        headers=_request_headers(raw, target),
                        data=raw.content.iter_any() if raw.can_read_body else None,
                        allow_redirects=False,
                        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                    ) as answer,
                ):
                    return await _copy(raw, answer, target)
            except aiohttp.ClientError as err:
                raise _unreachable(tunnel.reason or str(err)) from err

    async def _upgrade(self, raw: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Send the request as it is, and carry bytes from the answer's head on."""
        async with tunnel_to(target) as tunnel:
            context = _context(target)
            try:
                reader, writer = await asyncio.open_connection(
                    sock=tunnel.sock, ssl=context, server_hostname=target.host if context else None, limit=MAX_HEAD
                )
            except OSError as err:
                raise _unreachable(tunnel.reason or str(err)) from err
            try:
                writer.write(_upgrade_head(raw, target))
                head = await self._head(reader, tunnel)
                with contextlib.suppress(ConnectionError):
                    await until_either_ends(RawConnection(raw, head), reader, writer)
            finally:
                await close(writer, self._clock)
            return TakenOver()

    async def _head(self, reader: asyncio.StreamReader, tunnel: _Tunnel) -> bytes:
        """Read the head of an answer. Unavailable."""
        try:
            async with self._clock.timeout(HEAD_SECONDS):
                return await reader.readuntil(b"\r\n\r\n")
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as err:
            raise _unreachable(tunnel.reason or str(err)) from err


async def _copy(raw: web.BaseRequest, answer: aiohttp.ClientResponse, target: Target) -> web.StreamResponse:
    """Give an answer to the client, its body as it comes."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    dropped = _HOP_BY_HOP | _listed(answer.headers)
    for name, value in answer.headers.items():
        if name.lower() not in dropped:
            response.headers.add(name, _rewritten(value, raw, target) if name.lower() == "location" else value)
    await response.prepare(raw)
    try:
        async for data in answer.content.iter_any():
            await response.write(data)
    except aiohttp.ClientError as err:
        if raw.transport is not None:
            raw.transport.abort()  # so that the client does not take a part for the whole
        raise ConnectionResetError(str(err)) from err
    await response.write_eof()
    return response


@dataclass(slots=True)
class _Tunnel:
    """This side of a connection to a pod, as a socket. ``reason`` says why it has ended, where that is known."""

    sock: socket.socket
    reason: str = ""


@contextlib.asynccontextmanager
async def tunnel_to(target: Target) -> AsyncGenerator[_Tunnel]:
    """Connect to a target while the body runs. Unavailable."""
    try:
        backend = await target.connect()
    except ForwardError as err:
        raise _unreachable(str(err)) from err
    mine, theirs = socket.socketpair()
    tunnel = _Tunnel(mine)

    async def carry() -> None:
        try:
            await relay(SocketDuplex(theirs), backend)
        except ForwardError as err:
            tunnel.reason = str(err)
        except ConnectionError:
            pass  # one side broke it off, as programs do

    try:
        async with asyncio.TaskGroup() as group:
            carrying = group.create_task(carry(), name="proxy-tunnel")
            try:
                yield tunnel
            finally:
                carrying.cancel()
                mine.close()
    except ExceptionGroup as failed:  # of the body, which knows nothing of a group
        raise failed.exceptions[0] from failed


class OneConnection(aiohttp.BaseConnector):
    """Uses a socket that is connected, for one request."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        super().__init__(force_close=True)
        self._sock, self._context = sock, context

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
        host = req.url.host if self._context is not None else None
        try:
            _, protocol = await self._loop.create_connection(
                self._factory, sock=self._sock, ssl=self._context, server_hostname=host
            )
        except OSError as err:
            raise aiohttp.ClientConnectionError(str(err)) from err
        return protocol


def _context(target: Target) -> ssl.SSLContext | None:
    """Speak TLS where the name of the target says so. As upstream's proxy this asks for no known certificate."""
    if target.scheme != "https":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _unreachable(reason: str) -> errors.Unavailable:
    return errors.Unavailable(f"error trying to reach service: {reason}")


def _tail(raw: web.BaseRequest) -> str:
    """Give the path after ``/proxy``, as it was sent: "" or something that begins with a slash."""
    parts = raw.rel_url.raw_path.split("/")
    return "".join(f"/{part}" for part in parts[_proxy_at(parts) + 1 :])


def _prefix(raw: web.BaseRequest) -> str:
    """Give the path up to ``/proxy``."""
    parts = raw.rel_url.raw_path.split("/")
    return "/".join(parts[: _proxy_at(parts) + 1])


def _proxy_at(parts: list[str]) -> int:
    """Find the subresource: after /api/v1/namespaces/NAMESPACE/RESOURCE/NAME, or /api/v1/nodes/NAME. NotFound where a
    slash before it was escaped, so that the name of the object has one."""
    at = 5 if parts[3:4] == ["nodes"] else 7
    if len(parts) <= at or parts[at] != "proxy":
        raise errors.NotFound("the server could not find the requested resource")
    return at


def _target_path(raw: web.BaseRequest) -> str:
    query = raw.rel_url.raw_query_string
    return (_tail(raw) or "/") + (f"?{query}" if query else "")


def _listed(headers: Mapping[str, str]) -> frozenset[str]:
    """Give the headers that ``Connection`` names: they are between two neighbours only (RFC 9110, 7.6.1)."""
    return frozenset(name.strip().lower() for name in headers.get("Connection", "").split(",") if name.strip())


def _request_headers(raw: web.BaseRequest, target: Target) -> CIMultiDict[str]:
    """Give what the pod is sent: no credentials of the api-server's caller, and who asked for what."""
    dropped = _HOP_BY_HOP | _OURS | _listed(raw.headers)
    kept: CIMultiDict[str] = CIMultiDict(
        (name, value)
        for name, value in raw.headers.items()
        if name.lower() not in dropped and not name.lower().startswith(_IMPERSONATE)
    )
    kept["Host"] = target.authority
    kept["X-Forwarded-Uri"] = raw.rel_url.raw_path
    kept["X-Forwarded-Host"] = raw.host
    kept["X-Forwarded-Proto"] = raw.scheme
    if raw.remote:
        before = raw.headers.get("X-Forwarded-For")
        kept["X-Forwarded-For"] = f"{before}, {raw.remote}" if before else raw.remote
    return kept


def _upgrade_head(raw: web.BaseRequest, target: Target) -> bytes:
    headers = _request_headers(raw, target)
    headers["Connection"], headers["Upgrade"] = "Upgrade", raw.headers["Upgrade"]
    lines = [f"{raw.method} {_target_path(raw)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("utf-8", "surrogateescape")


def _rewritten(location: str, raw: web.BaseRequest, target: Target) -> str:
    """Make a redirect within the pod one through the proxy; another one stays as it is."""
    parts = urlsplit(location)
    if parts.netloc and parts.netloc not in (target.authority, target.host):
        return location
    if not parts.netloc and not parts.path.startswith("/"):
        return location  # relative to the request's own path, which the client knows
    own = parts._replace(scheme="", netloc="", path=_prefix(raw) + parts.path)
    return own.geturl()
