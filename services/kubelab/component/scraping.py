"""What is asked over HTTP: Prometheus' /metrics, and a load balancer's /livez and /readyz.

A component may be several processes behind one port: a scrape reaches whichever worker the kernel picks. That one asks
its siblings on abstract unix sockets (they leave no file behind, and other namespaces do not see them) and answers for
all, each sample with the label ``worker``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from kubelab.apimachinery.clock import Clock
from kubelab.component.config import ConfigError

SCRAPE_SECONDS = 10.0
SIBLING_SECONDS = 2.0
MOST_CLIENTS = 64  # at once; who comes beyond is closed unheard


@dataclass(frozen=True, slots=True)
class Workers:
    """Which of how many this process is. The parent's pid tells one component's workers from another's."""

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
) -> AsyncGenerator[int | None]:
    """Answer GET /metrics, /livez and /readyz on ``host:port`` until the body ends; gives the port, None when it is
    off. ``ready`` is asked for /readyz, and ``note`` for what it says besides.

    Raises ConfigError when the address cannot be had.
    """
    host, _, port = address.rpartition(":")
    if not address or port == "0":
        yield None
        return
    workers = workers or Workers()
    several = workers.count > 1

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
                request = await reader.readuntil(b"\r\n\r\n")
                page = await _all_pages(registry, clock, workers) if several else generate_latest(registry)
                writer.write(_http(request, page, ready(), note()))
                await writer.drain()

    async def answer_sibling(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with clock.timeout(SIBLING_SECONDS):
                writer.write(generate_latest(registry))
                await writer.drain()
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        try:
            server = await asyncio.start_server(answer, host.strip("[]") or None, int(port), reuse_port=several or None)
            stack.callback(server.close)
            if several:
                own = socket.socket(socket.AF_UNIX)
                own.bind(workers.socket_name(workers.number))
                stack.callback((await asyncio.start_unix_server(answer_sibling, sock=own)).close)
        except (OSError, ValueError) as err:
            raise ConfigError(f"metricsAddress: cannot listen on {address}: {err}") from err
        yield server.sockets[0].getsockname()[1]


async def _all_pages(registry: CollectorRegistry, clock: Clock, workers: Workers) -> bytes:
    """Give every worker's metrics; one that is not there now, or does not answer, is left out."""
    own = (workers.number, generate_latest(registry).decode())
    others = [n for n in range(workers.count) if n != workers.number]
    told = await asyncio.gather(*(_sibling_page(workers.socket_name(n), clock) for n in others))
    pages = [own, *((n, text) for n, text in zip(others, told, strict=True) if text is not None)]
    return generate_latest(Merged(sorted(pages)))  # pyright: ignore[reportArgumentType] — it needs collect() only


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


def _http(request: bytes, page: bytes, ready: bool, note: str) -> bytes:
    path = [*request.split(b" ", 2), b"", b""][1].split(b"?")[0]
    if path == b"/metrics":
        status, kind, body = "200 OK", CONTENT_TYPE_LATEST, page
    elif path == b"/livez" or (path == b"/readyz" and ready):  # for who does not speak gRPC's health protocol
        told = f"ok\n{note}\n" if note and path == b"/readyz" else "ok"
        status, kind, body = "200 OK", "text/plain", told.encode()
    elif path == b"/readyz":
        status, kind, body = "503 Service Unavailable", "text/plain", b"not ready\n"
    else:
        status, kind, body = "404 Not Found", "text/plain", b"only /metrics, /livez and /readyz are here\n"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
