"""A client of the HTTP front: one kept connection, or a new one for each request."""

from __future__ import annotations

import contextlib
import io
import json
import ssl
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from tests.support.pki import Files


class Answer:
    """What a server answered, read to its end."""

    def __init__(self, code: int, headers: Any, body: bytes) -> None:
        self.code, self.headers, self.body = code, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


def context_of(files: Files | None, ca: Any) -> ssl.SSLContext:
    """Trust an authority and show a certificate, if there is one."""
    context = ssl.create_default_context(cafile=str(ca))
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


class HTTPClient:
    """Sends requests as they are given; nothing is added but ``Host``, a length and the headers of aiohttp."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.base = f"https://127.0.0.1:{port}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context), auto_decompress=True, headers={"User-Agent": "test/1"}
        )

    async def close(self) -> None:
        await self._session.close()

    async def send(
        self, method: str, path: str, body: object = None, *, accept: str = "", content: str = "", **headers: str
    ) -> Answer:
        """Send one request. A body that is no text and no bytes goes as JSON."""
        async with self.open(method, path, body, accept=accept, content=content, **headers) as response:
            return Answer(response.status, response.headers, await response.read())

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        accept: str = "",
        content: str = "",
        **headers: str,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send one request and leave its answer to be read."""
        import yarl

        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if accept:
            sent["Accept"] = accept
        data: io.BytesIO | None = None
        if body is not None:
            if not isinstance(body, str | bytes):
                body = json.dumps(body)
                content = content or "application/json"
            data = io.BytesIO(body.encode() if isinstance(body, str) else body)
        if content:
            sent["Content-Type"] = content
        skip = () if content else ("Content-Type",)
        url = yarl.URL(self.base + path, encoded=True)
        async with self._session.request(
            method,
            url,
            data=data,
            headers=sent,
            skip_auto_headers=skip,
            timeout=aiohttp.ClientTimeout(total=None),
            allow_redirects=False,
        ) as response:
            yield response

    @contextlib.asynccontextmanager
    async def websocket(self, path: str, *protocols: str) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket that offers these protocols; "" is none."""
        offered = tuple(protocol for protocol in protocols if protocol)
        async with self._session.ws_connect(self.base + path, protocols=offered, max_msg_size=0) as ws:
            yield ws
