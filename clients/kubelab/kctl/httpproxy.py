"""The server of ``kctl proxy``: requests of HTTP go to the api-server over TLS, with the credentials of the kubeconfig,
and their answers come back as they are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiohttp
import yarl
from aiohttp import web
from multidict import CIMultiDict

from kubelab.apimachinery.clock import SystemClock
from kubelab.client.kubeconfig import Access
from kubelab.kctl.session import Failed
from kubelab.streams.takeover import RawConnection, TakenOver, close, until_either_ends

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
_MAX_HEAD = 64 << 10
CONNECT_SECONDS = 10.0
STOP_SECONDS = 1.0  # for requests that are under way at the end
_FORBIDDEN = "Forbidden\n"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests are passed on."""

    accept_hosts: tuple[re.Pattern[str], ...]
    accept_paths: tuple[re.Pattern[str], ...]
    reject_paths: tuple[re.Pattern[str], ...]
    reject_methods: tuple[re.Pattern[str], ...]

    def accepts(self, method: str, path: str, host: str) -> bool:
        """Say whether a request passes; ``host`` is without its port."""
        if _matches(self.reject_paths, path) or _matches(self.reject_methods, method):
            return False
        return _matches(self.accept_paths, path) and _matches(self.accept_hosts, host)


def _matches(patterns: tuple[re.Pattern[str], ...], text: str) -> bool:
    return any(pattern.search(text) for pattern in patterns)


def without_port(host: str) -> str:
    """Give a ``Host`` without its port: ``[::1]:8001`` is ``[::1]``."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Upstream:
    """The api-server and how to talk to it."""

    host: str
    port: int
    context: ssl.SSLContext
    server_name: str
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, server: str, access: Access) -> Upstream:
        """Read ``https://host:port`` and the credentials. Failed where they are none."""
        parts = urlsplit(server if "://" in server else f"https://{server}")
        if not parts.hostname:
            raise Failed(f"error: the server {server!r} of the kubeconfig is no URL")
        try:
            context = ssl.create_default_context(cadata=access.ca.decode() or None)
            if access.certificate:
                _load(context, access.certificate + b"\n" + access.key)
        except (ssl.SSLError, ValueError) as err:
            raise Failed(f"error: the credentials of the kubeconfig cannot be used: {err}") from err
        return cls(parts.hostname, parts.port or 443, context, access.server_name or parts.hostname, access.headers)

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Show a certificate. Python takes it from a file only; this one is in memory and has no name."""
    fd = os.memfd_create("kctl", os.MFD_CLOEXEC)
    try:
        os.write(fd, pem)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


class HTTPProxy:
    """Answers requests. ``prefix`` is where the API is served; ``static`` a prefix and a folder of files."""

    def __init__(
        self, upstream: Upstream, filtered: Filter | None, *, prefix: str = "/", static: tuple[str, Path] | None = None
    ) -> None:
        self._upstream, self._filter, self._prefix, self._static = upstream, filtered, prefix, static
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """Keep connections to the api-server while the body runs."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._upstream.context, limit=0),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as self._session:
            yield

    async def __call__(self, raw: web.BaseRequest) -> web.StreamResponse:
        path = raw.rel_url.raw_path
        if self._static is not None and path.startswith(self._static[0]):
            return self._file(path.removeprefix(self._static[0]), self._static[1])
        if self._filter is not None and not self._filter.accepts(
            raw.method, raw.rel_url.path, without_port(raw.headers.get("Host", ""))
        ):
            return web.Response(status=403, text=_FORBIDDEN)
        if not path.startswith(self._prefix):
            return web.Response(status=404, text="404 page not found\n")
        target = "/" + path.removeprefix(self._prefix)
        if raw.rel_url.raw_query_string:
            target += f"?{raw.rel_url.raw_query_string}"
        try:
            return await (self._upgrade(raw, target) if raw.headers.get("Upgrade") else self._forward(raw, target))
        except (aiohttp.ClientError, OSError) as err:
            return web.Response(status=502, text=f"{err}\n")

    async def _forward(self, raw: web.BaseRequest, target: str) -> web.StreamResponse:
        assert self._session is not None
        upstream = self._upstream
        async with self._session.request(
            raw.method,
            yarl.URL(f"https://{upstream.authority}{target}", encoded=True),
            headers=self._headers(raw),
            data=raw.content.iter_any() if raw.can_read_body else None,
            allow_redirects=False,
            server_hostname=upstream.server_name,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value)
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

    async def _upgrade(self, raw: web.BaseRequest, target: str) -> web.StreamResponse:
        """Send the request as it is, and carry bytes both ways from the answer on."""
        upstream = self._upstream
        reader, writer = await asyncio.open_connection(
            upstream.host, upstream.port, ssl=upstream.context, server_hostname=upstream.server_name, limit=_MAX_HEAD
        )
        try:
            headers = self._headers(raw)
            headers["Connection"], headers["Upgrade"] = "Upgrade", raw.headers["Upgrade"]
            lines = [f"{raw.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
            writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode("utf-8", "surrogateescape"))
            client = RawConnection(raw, b"")
            with contextlib.suppress(ConnectionError):
                await until_either_ends(client, reader, writer)
        finally:
            await close(writer, SystemClock())
        return TakenOver()

    def _headers(self, raw: web.BaseRequest) -> CIMultiDict[str]:
        kept = CIMultiDict(
            (name, value)
            for name, value in raw.headers.items()
            if name.lower() not in _HOP_BY_HOP and name.lower() != "host"
        )
        kept["Host"] = self._upstream.authority
        for name, value in self._upstream.headers:
            kept[name] = value
        return kept

    def _file(self, name: str, folder: Path) -> web.StreamResponse:
        """Give a file of the folder, and nothing outside of it."""
        root = folder.resolve()
        path = (root / unquote(name)).resolve()
        if path.is_dir():
            path = path / "index.html"
        if not path.is_relative_to(root) or not path.is_file():
            return web.Response(status=404, text="404 page not found\n")
        return web.FileResponse(path)


@contextlib.asynccontextmanager
async def serving(listener: socket.socket, proxy: HTTPProxy) -> AsyncGenerator[None]:
    """Answer on a listening socket while the body runs."""
    server = web.Server(proxy, handler_cancellation=True, access_log=None)
    loop = asyncio.get_running_loop()
    async with proxy.connected():
        unix = listener.family == socket.AF_UNIX
        listening = await (loop.create_unix_server if unix else loop.create_server)(server, sock=listener)
        try:
            yield
        finally:
            listening.close()
            await server.shutdown(STOP_SECONDS)
