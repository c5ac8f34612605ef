"""The streaming server: a call of the CRI answers with a URL, and the kubelet opens streams of SPDY there.

As with containerd a URL holds a token that is good for one connection and for a minute. The server listens on a unix
socket that only root may open, since a pod on the node's network could reach any port of loopback.
https://github.com/kubernetes/kubernetes/tree/master/staging/src/k8s.io/kubelet/pkg/cri/streaming
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
from structlog.typing import FilteringBoundLogger

from kubelab.apimachinery.clock import Clock
from kubelab.runtime.errors import CRIError
from kubelab.spdy import upgrade
from kubelab.spdy.connection import Connection
from kubelab.spdy.errors import ProtocolError
from kubelab.streams.concurrency import until_first
from kubelab.streams.descriptors import hung_up

TOKEN_SECONDS = 60.0
MAX_TOKENS = 1000
HEAD_SECONDS = 10.0  # for a connection to say what it wants

Serve = Callable[[Connection], Coroutine[Any, Any, None]]
"""Serves one connection of SPDY until it is over."""


@dataclass(frozen=True, slots=True)
class _Offer:
    protocols: tuple[str, ...]
    serve: Serve
    until: float


class StreamingServer:
    """See the module."""

    def __init__(self, socket: Path, clock: Clock, log: FilteringBoundLogger) -> None:
        self._socket, self._clock, self._log = socket, clock, log
        self._offers: dict[str, _Offer] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None

    def offer(self, kind: str, protocols: tuple[str, ...], serve: Serve) -> str:
        """Give a URL where one connection will be served. CRIError RESOURCE_EXHAUSTED with too many that wait."""
        now = self._clock.monotonic()
        self._offers = {token: offer for token, offer in self._offers.items() if offer.until > now}
        if len(self._offers) >= MAX_TOKENS:
            raise CRIError("maximum number of in-flight requests exceeded", grpc.StatusCode.RESOURCE_EXHAUSTED)
        token = secrets.token_urlsafe(16)
        self._offers[token] = _Offer(protocols, serve, now + TOKEN_SECONDS)
        return f"http+unix://{quote(str(self._socket), safe='')}/{kind}/{token}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Listen while the body runs; its end ends every connection."""
        self._socket.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._connected, self._socket, limit=upgrade.MAX_HEAD)
        finally:
            os.umask(before)
        try:
            async with asyncio.TaskGroup() as self._group:
                yield
                for task in self._connections:
                    task.cancel()
        finally:
            server.close()
            self._socket.unlink(missing_ok=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._group is None:
            return writer.close()
        task = self._group.create_task(self._serve(reader, writer), name="streaming")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._clock.timeout(HEAD_SECONDS):
                offer = await self._upgrade(reader, writer)
            if offer is None:
                return
            async with upgrade.carried(reader, writer, server=True) as connection:
                await until_first(offer.serve(connection), hung_up(writer.get_extra_info("socket")))
        except (ConnectionError, ProtocolError, TimeoutError) as err:
            self._log.info("a streaming connection broke off", error=str(err))
        finally:
            writer.close()

    async def _upgrade(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Offer | None:
        head = await upgrade.read_head(reader)
        offer = self._offers.pop(head.words[1].rpartition("/")[2], None)
        if offer is None or offer.until <= self._clock.monotonic():
            await upgrade.refuse(writer, 404, "Not Found", "the token is unknown, used or older than a minute")
            return None
        await upgrade.take(reader, writer, head, offer.protocols)
        return offer
