"""Upgrades of HTTP to SPDY/3.1, as kubectl asked for before WebSockets, and asks for when these are refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from kubelab.apimachinery import errors
from kubelab.spdy.connection import Connection
from kubelab.spdy.errors import ProtocolError
from kubelab.spdy.upgrade import UPGRADE
from kubelab.streams.concurrency import until_first
from kubelab.streams.takeover import RawConnection, switching

PROTOCOL_HEADER = "X-Stream-Protocol-Version"


def check(raw: web.BaseRequest, supported: Sequence[str]) -> str:
    """Give the protocol that will be spoken in the streams. BadRequest for a request that asks for no upgrade,
    Forbidden where client and server have no protocol in common."""
    if raw.headers.get("Upgrade", "").lower() != UPGRADE.lower():
        raise errors.BadRequest("Upgrade request required")
    offered = [word.strip() for value in raw.headers.getall(PROTOCOL_HEADER, []) for word in value.split(",")]
    chosen = next((protocol for protocol in offered if protocol in supported), "")
    if not chosen:
        raise errors.Forbidden(f"unable to upgrade: unable to negotiate protocol: client supports {offered}")
    return chosen


async def serve(raw: web.BaseRequest, supported: Sequence[str], body: Callable[[Connection], Awaitable[None]]) -> None:
    """Upgrade, and speak SPDY until the body has ended, or the client has gone."""
    chosen = check(raw, supported)
    head = switching((("Connection", "Upgrade"), ("Upgrade", UPGRADE), (PROTOCOL_HEADER, chosen)))
    carrier = RawConnection(raw, head)
    connection = Connection(carrier.write, server=True)

    async def receive() -> None:
        try:
            while data := await carrier.read():
                await connection.receive(data)
        except ProtocolError:
            pass  # the connection knows, and ends
        finally:
            connection.close()

    async def speak() -> None:
        await body(connection)

    try:
        await until_first(receive(), speak())
    except (ConnectionError, ProtocolError, TimeoutError):
        pass  # the client has gone, or does not keep to the protocol
    finally:
        await carrier.close()
