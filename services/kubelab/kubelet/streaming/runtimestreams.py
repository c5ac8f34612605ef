"""Streams to the container runtime: the URL that a call of the CRI gave, reached as SPDY.

Upstream's runtimes name ``http://127.0.0.1:PORT/…``; the embedded runtime names a unix socket, ``http+unix://``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from urllib.parse import unquote, urlsplit

from kubelab.apimachinery.clock import Clock
from kubelab.spdy import upgrade
from kubelab.spdy.connection import Connection

CONNECT_SECONDS = 10.0


@contextlib.asynccontextmanager
async def streaming(
    url: str, protocols: Sequence[str], clock: Clock, *, abrupt: bool = False
) -> AsyncGenerator[Connection]:
    """Connect to where a runtime streams. ConnectionError; ProtocolError; TimeoutError.

    ``abrupt``: it ends with the body, also where the runtime has not taken yet all that was written.
    """
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    writer: asyncio.StreamWriter | None = None
    try:
        async with clock.timeout(CONNECT_SECONDS):
            if parts.scheme == "http+unix":
                path = unquote(parts.netloc)
                reader, writer = await asyncio.open_unix_connection(path, limit=upgrade.MAX_HEAD)
            elif parts.scheme == "http" and parts.hostname:
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, limit=upgrade.MAX_HEAD)
            else:
                raise ConnectionError(f"the runtime streams at {url!r}: expected http:// or http+unix://")
            await upgrade.ask(reader, writer, target, "localhost", protocols)
        async with upgrade.carried(reader, writer, server=False) as connection:
            yield connection
    finally:
        if writer is not None:
            writer.close()
            if abrupt:
                writer.transport.abort()
