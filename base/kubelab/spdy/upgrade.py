"""From HTTP/1.1 to SPDY/3.1, on either side, over an asyncio connection.

The client asks with ``Upgrade: SPDY/3.1`` and names in ``X-Stream-Protocol-Version`` what it wants to speak in the
streams; the server answers 101 and the one that it takes.
https://github.com/kubernetes/apimachinery/tree/master/pkg/util/httpstream/spdy
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from kubelab.spdy.connection import Connection
from kubelab.spdy.errors import ProtocolError

UPGRADE = "SPDY/3.1"
PROTOCOL_HEADER = "x-stream-protocol-version"
MAX_HEAD = 64 << 10  # bytes of a request's or an answer's head
MAX_REASON = 4096  # bytes of an answer that refuses
_CHUNK = 64 << 10


class Refused(ConnectionError):
    """The server did not upgrade; the message says what it answered."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first line of a request or an answer, as its three words, and the headers, with lower-case names."""

    words: tuple[str, str, str]
    headers: dict[str, str]


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, host: str, protocols: Sequence[str]
) -> str:
    """Upgrade as the client; gives the protocol that the server took. Refused, ProtocolError."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        f"Upgrade: {UPGRADE}",
        *(f"X-Stream-Protocol-Version: {protocol}" for protocol in protocols),
        "Content-Length: 0",
    ]
    writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))
    await writer.drain()
    head = await read_head(reader)
    if head.words[1] != "101":
        size = int(head.headers.get("content-length", "0")) if head.headers.get("content-length", "").isdigit() else 0
        reason = await reader.read(min(size, MAX_REASON)) if size else b""
        raise Refused(f"{head.words[1]} {head.words[2]}: {reason.decode('utf-8', 'replace').strip()}")
    return head.headers.get(PROTOCOL_HEADER, "")


async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Head, supported: Sequence[str]) -> str:
    """Upgrade as the server, for a request whose head was read; gives the protocol. Refused, after an answer of 4xx."""
    if head.headers.get("upgrade", "").lower() != UPGRADE.lower():
        await refuse(writer, 400, "Bad Request", "you must specify Upgrade: SPDY/3.1")
        raise Refused("no SPDY upgrade was asked for")
    offered = [word.strip() for word in head.headers.get(PROTOCOL_HEADER, "").split(",") if word.strip()]
    chosen = next((protocol for protocol in offered if protocol in supported), "")
    if not chosen:
        await refuse(writer, 403, "Forbidden", f"unable to negotiate protocol: client supports {offered}")
        raise Refused(f"no protocol in common: {offered}")
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Connection: Upgrade",
        f"Upgrade: {UPGRADE}",
        f"X-Stream-Protocol-Version: {chosen}",
    ]
    writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))
    await writer.drain()
    return chosen


async def refuse(writer: asyncio.StreamWriter, code: int, words: str, reason: str) -> None:
    """Answer with an error, as the last thing on this connection."""
    body = f"{reason}\n".encode()
    head = (
        f"HTTP/1.1 {code} {words}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    )
    writer.write(f"{head}\r\n".encode("latin-1") + body)
    await writer.drain()


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Read up to the empty line. ProtocolError for what is no HTTP/1.1; ConnectionError where the other side ends."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError as err:
        raise ConnectionResetError("the connection ended within the head of HTTP") from err
    except asyncio.LimitOverrunError as err:
        raise ProtocolError(f"a head of HTTP of more than {MAX_HEAD} bytes") from err
    first, *rest = text.removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2:
        raise ProtocolError(f"{first[:100]!r} is no first line of HTTP")
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon:
            raise ProtocolError(f"{line[:100]!r} is no header of HTTP")
        key, value = name.strip().lower(), value.strip()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return Head((words[0], words[1], words[2] if len(words) > 2 else ""), headers)


@contextlib.asynccontextmanager
async def carried(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, server: bool
) -> AsyncGenerator[Connection]:
    """Speak SPDY over a connection that was upgraded, while the body runs; then it is closed."""

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    connection = Connection(send, server=server)

    async def receive() -> None:
        why = "the connection has ended"
        try:
            while data := await reader.read(_CHUNK):
                await connection.receive(data)
        except (ConnectionError, ProtocolError) as err:
            why = str(err)
        finally:
            connection.close(why)

    try:
        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(receive(), name="spdy-receive")
            try:
                yield connection
            finally:
                receiving.cancel()
                connection.close()
                writer.close()
    except ExceptionGroup as failed:  # of the body, which knows nothing of a group
        raise failed.exceptions[0] from failed
