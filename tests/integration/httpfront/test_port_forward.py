"""Forwarded ports over HTTPS: SPDY in a WebSocket, as kubectl speaks, and the channels that Python clients use."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator

import aiohttp
import pytest

from kubelab.spdy import upgrade
from kubelab.spdy.connection import Connection
from kubelab.spdy.portforward import open_port
from kubelab.streams.duplex import ForwardError
from tests.support.apiserver import ApiServerInMemory
from tests.support.duplexes import rest
from tests.support.https import HTTPClient, context_of
from tests.support.kubelets import EchoingKubelet
from tests.support.pki import TestAuthority
from tests.support.polling import until_true

SECONDS = 30.0
PATH = "/api/v1/namespaces/default/pods/web/portforward"
TUNNEL = "SPDY/3.1+portforward.k8s.io"


@pytest.fixture
def server(server_with_kubelet: ApiServerInMemory) -> ApiServerInMemory:
    return server_with_kubelet


@contextlib.asynccontextmanager
async def tunnel(http: HTTPClient) -> AsyncGenerator[tuple[Connection, aiohttp.ClientWebSocketResponse]]:
    """A client's end of SPDY in a WebSocket."""
    async with asyncio.timeout(SECONDS), http.websocket(PATH, TUNNEL) as ws, asyncio.TaskGroup() as group:
        assert ws.protocol == TUNNEL
        connection = Connection(ws.send_bytes, server=False)

        async def receive() -> None:
            async for message in ws:
                await connection.receive(message.data)
            connection.close("the server has closed the WebSocket")

        receiving = group.create_task(receive())
        yield connection, ws
        receiving.cancel()


@contextlib.asynccontextmanager
async def spdy(port: int, authority: TestAuthority) -> AsyncGenerator[Connection]:
    """A client's end of SPDY itself, on a connection of its own."""
    files = authority.issue("kubernetes-admin", "system:masters")
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context_of(files, files.ca))
        assert await upgrade.ask(reader, writer, PATH, "127.0.0.1", ["portforward.k8s.io"]) == "portforward.k8s.io"
        async with upgrade.carried(reader, writer, server=False) as connection:
            yield connection


async def test_spdy_in_a_websocket_carries_several_connections(http: HTTPClient) -> None:
    async with tunnel(http) as (connection, _):
        opened = [await open_port(connection, 80, number) for number in range(4)]
        for number, forwarded in enumerate(opened):
            await forwarded.write(b"x" * 200_000 + str(number).encode())
        for number, forwarded in reversed([*enumerate(opened)]):
            await forwarded.write_eof()
            assert await rest(forwarded) == b"x" * 200_000 + str(number).encode()


async def test_a_port_that_is_refused_is_told_in_the_error_stream_and_the_tunnel_goes_on(http: HTTPClient) -> None:
    async with tunnel(http) as (connection, _):
        with pytest.raises(ForwardError, match="connection refused"):
            await rest(await open_port(connection, 81, 0))
        works = await open_port(connection, 80, 1)
        await works.write_eof()
        assert await rest(works) == b""


async def test_the_end_of_the_pod_ends_the_tunnel(http: HTTPClient, kubelet: EchoingKubelet) -> None:
    async with tunnel(http) as (connection, ws):
        forwarded = await open_port(connection, 80, 0)
        kubelet.ended.set()
        with pytest.raises(ConnectionError):
            await rest(forwarded)
        await until_true(lambda: ws.closed, within=SECONDS)


async def test_a_client_that_vanishes_leaves_nothing_open(http: HTTPClient, kubelet: EchoingKubelet) -> None:
    async with tunnel(http) as (connection, ws):
        forwarded = await open_port(connection, 80, 0)
        await forwarded.write(b"a")
        assert await forwarded.read() == b"a"
        assert kubelet.open == 1
        transport = ws.get_extra_info("ssl_object") and ws._response.connection  # pyright: ignore[reportPrivateUsage]
        assert transport is not None
        assert transport.transport is not None
        transport.transport.abort()
        await until_true(lambda: kubelet.open == 0, within=SECONDS)


async def test_spdy_without_a_websocket_does_the_same(port: int, http_authority: TestAuthority) -> None:
    """kubectl before 1.31 asks by POST; a later one does when the WebSocket is refused."""
    async with spdy(port, http_authority) as connection:
        forwarded = await open_port(connection, 80, 0)
        await forwarded.write(b"x" * 200_000)
        await forwarded.write_eof()
        assert await rest(forwarded) == b"x" * 200_000
        with pytest.raises(ForwardError, match="connection refused"):
            await rest(await open_port(connection, 81, 1))


async def test_the_end_of_a_spdy_client_or_of_the_pod_leaves_nothing_open(
    port: int, http_authority: TestAuthority, kubelet: EchoingKubelet
) -> None:
    async with spdy(port, http_authority) as connection:
        forwarded = await open_port(connection, 80, 0)
        await forwarded.write(b"a")
        assert await forwarded.read() == b"a"
    await until_true(lambda: kubelet.open == 0, within=SECONDS)
    async with spdy(port, http_authority) as connection:
        forwarded = await open_port(connection, 80, 0)
        kubelet.ended.set()
        with pytest.raises(ConnectionError):
            await rest(forwarded)


async def test_what_is_no_spdy_ends_the_tunnel(http: HTTPClient) -> None:
    async with asyncio.timeout(SECONDS), http.websocket(PATH, TUNNEL) as ws:
        await ws.send_bytes(bytes.fromhex("800200060000000400000001"))
        assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", ""])
async def test_channels_come_in_pairs_and_begin_with_their_port(http: HTTPClient, protocol: str) -> None:
    async with asyncio.timeout(SECONDS), http.websocket(f"{PATH}?ports=80,81", protocol) as ws:
        assert ws.protocol == (protocol or None)
        first = [await ws.receive_bytes() for _ in range(4)]
        assert first == [bytes((n,)) + struct.pack("<H", port) for n, port in enumerate((80, 80, 81, 81))]
        assert await ws.receive_bytes() == b"\x03connection refused"
        await ws.send_bytes(b"\x00hello")
        assert await ws.receive_bytes() == b"\x00hello"


async def test_base64_channels_are_text(http: HTTPClient) -> None:
    async with asyncio.timeout(SECONDS), http.websocket(f"{PATH}?ports=80", "v4.base64.channel.k8s.io") as ws:
        assert [await ws.receive_str() for _ in range(2)] == ["0UAA=", "1UAA="]
        await ws.send_str("0aGVsbG8=")
        assert await ws.receive_str() == "0aGVsbG8="


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        (PATH.replace("web", "waiting"), 400, "pod waiting does not have a host assigned"),
        (PATH.replace("web", "none"), 404, 'pods "none" not found'),
        (PATH, 400, 'query parameter "ports" is required'),
        (f"{PATH}?ports=x", 400, 'unable to parse "x" as a port: expected a number from 1 to 65535'),
        (f"{PATH}?ports=80,", 400, 'query parameter "ports" cannot be empty'),
    ],
)
async def test_what_is_wrong_is_answered_before_the_upgrade(
    http: HTTPClient, path: str, code: int, message: str
) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": "v4.channel.k8s.io"}
    answer = await http.send("GET", path, **headers)
    assert (answer.code, answer.json["message"]) == (code, message)


async def test_who_may_not_is_refused(jane: HTTPClient, http: HTTPClient) -> None:
    answer = await jane.send("GET", PATH, Connection="Upgrade", Upgrade="websocket")
    assert (answer.code, answer.json["reason"]) == (403, "Forbidden")
    assert 'cannot get resource "pods/portforward"' in answer.json["message"]
    assert (await http.send("GET", PATH)).code == 400  # no upgrade
    assert (await http.send("PUT", PATH, {})).code == 405
