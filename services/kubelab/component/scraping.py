"""The HTTPS endpoints of a component: /metrics for Prometheus, and /livez and /readyz, which need no certificate.

A component may be several processes behind one port: a scrape reaches the worker that the kernel picks. That worker
queries its siblings on abstract unix sockets (they leave no file behind, and other namespaces do not see them) and
answers for all, each sample with the label ``worker``. A sibling answers none but the children of its own parent: a pod
in the node's network namespace could connect, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from kubelab.apimachinery.clock import Clock
from kubelab.component.config import TLS, ConfigError
from kubelab.component.httptls import ServerContext, may_get

SCRAPE_SECONDS = 10.0
SIBLING_SECONDS = 2.0
MOST_CLIENTS = 64  # at once; further connections are closed


@dataclass(frozen=True, slots=True)
class Workers:
    """A worker's number, and the count of workers. The parent's pid distinguishes components."""

    number: int = 0
    count: int = 1

    def socket_name(self, number: int) -> str:
        return f"\0kubelab/{os.getppid()}/metrics/{number}"


class Merged:
    """Several workers' metrics as one collector."""

    def __init__(self, pages: Iterable[tuple[int, str]]) -> None:
        self._families: dict[str, Metric] = {}
        for number, text in pages:
            for family in text_string_to_metric_families(text):
                kept = self._families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    kept.samples.append(sample._replace(labels={**sample.labels, "worker": str(number)}))

    def collect(self) -> Iterable[Metric]:
        return self._families.values()


@contextlib.asynccontextmanager
async def serve_metrics(
    address: str,
    registry: CollectorRegistry,
    clock: Clock,
    workers: Workers | None = None,
    *,
    ready: Callable[[], bool] = lambda: True,
    note: Callable[[], str] = lambda: "",
    tls: TLS | None = None,
) -> AsyncGenerator[int | None]:
    """Answer GET /metrics, /livez and /readyz on ``host:port`` until the body ends; gives the port, None when it is
    off. ``ready`` is asked for /readyz, and ``note`` for what it says besides. Without ``tls`` the server speaks plain
    HTTP, knows no user, and gives metrics to none.

    Raises ConfigError when the address cannot be had, or a certificate cannot be read.
    """
    host, _, port = address.rpartition(":")
    if not address or port == "0":
        yield None
        return
    workers = workers or Workers()
    several = workers.count > 1
    context = _context(tls) if tls else None

    clients: set[asyncio.StreamWriter] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(clients) >= MOST_CLIENTS:
            writer.transport.abort()
            return
        clients.add(writer)
        try:
            await answer_one(reader, writer)
        finally:
            clients.discard(writer)
            writer.close()

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with clock.timeout(SCRAPE_SECONDS):
                if context:
                    await writer.start_tls(context.current())
                path = _path(await reader.readuntil(b"\r\n\r\n"))
                kind, (status, body) = "text/plain", _health(path, ready(), note())
                if path == "/metrics":
                    status, body = may_get(path, _certificate(writer))
                    if status is HTTPStatus.OK:
                        text, kind = await page(registry, clock, workers)
                        body = text.decode()
                writer.write(_http(status, kind, body))
                await writer.drain()

    async def answer_sibling(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with clock.timeout(SIBLING_SECONDS):
                if _is_sibling(writer):
                    writer.write(generate_latest(registry))
                await writer.drain()
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        try:
            server = await asyncio.start_server(answer, host.strip("[]") or None, int(port), reuse_port=several or None)
            stack.callback(server.close)
            if several:
                sibling_socket = socket.socket(socket.AF_UNIX)
                sibling_socket.bind(workers.socket_name(workers.number))
                stack.callback((await asyncio.start_unix_server(answer_sibling, sock=sibling_socket)).close)
        except (OSError, ValueError) as err:
            raise ConfigError(f"metricsAddress: cannot listen on {address}: {err}") from err
        yield server.sockets[0].getsockname()[1]


def _context(tls: TLS) -> ServerContext:
    try:
        return ServerContext(tls)
    except OSError as err:
        raise ConfigError(f"tls: {err}") from err


def _certificate(writer: asyncio.StreamWriter) -> bytes | None:
    """The client's certificate, DER, if it has shown one."""
    secured: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    return secured.getpeercert(binary_form=True) if secured else None


def _is_sibling(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end of a unix socket is another worker of this component."""
    connected: socket.socket = writer.get_extra_info("socket")
    pid, _, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return int(stat.rpartition(")")[2].split()[1]) == os.getppid()


async def page(registry: CollectorRegistry, clock: Clock, workers: Workers) -> tuple[bytes, str]:
    """Give the page that a scrape gets, of all workers together, and its content type."""
    several = workers.count > 1
    text = await _all_pages(registry, clock, workers) if several else generate_latest(registry).decode()
    return text.encode(), CONTENT_TYPE_LATEST


async def _all_pages(registry: CollectorRegistry, clock: Clock, workers: Workers) -> str:
    """Give every worker's metrics; one that is not there now, or does not answer, is left out."""
    own_page = (workers.number, generate_latest(registry).decode())
    others = [n for n in range(workers.count) if n != workers.number]
    sibling_pages = await asyncio.gather(*(_sibling_page(workers.socket_name(n), clock) for n in others))
    pages = [own_page, *((n, text) for n, text in zip(others, sibling_pages, strict=True) if text is not None)]
    merged: Any = Merged(sorted(pages))  # a registry, as far as it is asked: collect()
    return generate_latest(merged).decode()


async def _sibling_page(name: str, clock: Clock) -> str | None:
    try:
        async with clock.timeout(SIBLING_SECONDS):
            reader, writer = await asyncio.open_unix_connection(name)
            try:
                return (await reader.read()).decode()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None


def _path(request: bytes) -> str:
    return [*request.split(b" ", 2), b"", b""][1].split(b"?")[0].decode("ascii", "replace")


def _health(path: str, ready: bool, note: str) -> tuple[HTTPStatus, str]:
    """Answer clients that do not speak gRPC's health protocol."""
    if path == "/livez" or (path == "/readyz" and ready):
        return HTTPStatus.OK, f"ok\n{note}\n" if note and path == "/readyz" else "ok"
    if path == "/readyz":
        return HTTPStatus.SERVICE_UNAVAILABLE, "not ready\n"
    return HTTPStatus.NOT_FOUND, "only /metrics, /livez and /readyz are here\n"


def _http(status: HTTPStatus, kind: str, text: str) -> bytes:
    body = text.encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body
