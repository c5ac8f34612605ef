"""Commands in pods over HTTPS: channels of a WebSocket, and streams of SPDY."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator

import aiohttp
import pytest

from kubelab.apimachinery import exitstatus
from kubelab.rpc.apiserver.v1.apiserver_pb2 import CommandInput, CommandOutput, TerminalSize
from kubelab.spdy import remotecommand, upgrade
from kubelab.spdy.remotecommand import SpdyCommand, Wanted
from tests.support.apiserver import ApiServerInMemory
from tests.support.https import HTTPClient, context_of
from tests.support.kubelets import EchoingKubelet
from tests.support.pki import TestAuthority
from tests.support.polling import until_true

SECONDS = 30.0
POD = "/api/v1/namespaces/default/pods/web"
CAT = f"{POD}/exec?command=cat&stdin=true&stdout=true"
V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"


@pytest.fixture
def server(server_with_kubelet: ApiServerInMemory) -> ApiServerInMemory:
    return server_with_kubelet


async def received(ws: aiohttp.ClientWebSocketResponse) -> list[bytes]:
    """Every message that is not empty, up to the close."""
    return [message.data async for message in ws if len(message.data) > 1]


def exited(code: int) -> bytes:
    return b"\x03" + exitstatus.to_json(exitstatus.exited(code))


@pytest.mark.parametrize("protocol", [V4, V5])
@pytest.mark.parametrize("code", [0, 7])
async def test_outputs_and_the_exit_code(http: HTTPClient, protocol: str, code: int) -> None:
    path = f"{POD}/exec?command=exit&command={code}&stdout=true&stderr=true"
    async with asyncio.timeout(SECONDS), http.websocket(path, protocol) as ws:
        assert ws.protocol == protocol
        assert await received(ws) == [b"\x01out", b"\x02err", exited(code)]
        assert ws.close_code == 1000
    document = json.loads(exited(7)[1:])
    assert (document["status"], document["reason"]) == ("Failure", "NonZeroExitCode")
    assert document["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


@pytest.mark.parametrize("path", [CAT, f"{POD}/attach?stdin=true&stdout=true"])
async def test_the_end_of_stdin_alone_ends_a_command_in_v5(http: HTTPClient, path: str) -> None:
    async with asyncio.timeout(SECONDS), http.websocket(path, V5, V4) as ws:
        assert await ws.receive_bytes() == b"\x01"  # the command has begun
        for _ in range(5):
            await ws.send_bytes(b"\x00" + b"x" * 100_000)
        await ws.send_bytes(b"\xff\x00")
        messages = await received(ws)
        assert b"".join(m[1:] for m in messages[:-1]) == b"x" * 500_000
        assert messages[-1] == exited(0)


async def test_the_terminal_learns_its_size(http: HTTPClient) -> None:
    async with asyncio.timeout(SECONDS), http.websocket(f"{CAT}&tty=true", V4) as ws:
        assert await ws.receive_bytes() == b"\x01"
        for wrong in (b"", b"no JSON", b'{"Width": 70000, "Height": 1}', b"[]"):
            await ws.send_bytes(b"\x04" + wrong)
        await ws.send_bytes(b'\x04{"Width":120,"Height":40}')
        assert await ws.receive_bytes() == b"\x01120x40"


async def test_a_client_without_a_protocol_has_channels_too(http: HTTPClient) -> None:
    path = f"{POD}/exec?command=exit&command=7&stdout=true&stderr=true"
    async with asyncio.timeout(SECONDS), http.websocket(path) as ws:
        messages = await received(ws)
        assert messages[:2] == [b"\x01out", b"\x02err"]
        assert messages[2].startswith(b"\x03command terminated with")


async def test_base64_channels_are_text(http: HTTPClient) -> None:
    async with asyncio.timeout(SECONDS), http.websocket(CAT, "v4.base64.channel.k8s.io") as ws:
        assert await ws.receive_str() == "1"
        await ws.send_str("0aGVsbG8=")
        assert await ws.receive_str() == "1aGVsbG8="


async def test_a_client_that_closes_or_vanishes_ends_its_command(http: HTTPClient, kubelet: EchoingKubelet) -> None:
    async with asyncio.timeout(SECONDS), http.websocket(CAT, V5) as ws:
        await until_true(lambda: kubelet.open == 1, within=SECONDS)
        await ws.close()
    await until_true(lambda: kubelet.open == 0, within=SECONDS)
    async with asyncio.timeout(SECONDS), http.websocket(CAT, V5) as ws:
        await until_true(lambda: kubelet.open == 1, within=SECONDS)
        connection = ws._response.connection  # pyright: ignore[reportPrivateUsage]
        assert connection is not None
        assert connection.transport is not None
        connection.transport.abort()
        await until_true(lambda: kubelet.open == 0, within=SECONDS)


@contextlib.asynccontextmanager
async def spdy(port: int, authority: TestAuthority, path: str, wanted: Wanted) -> AsyncGenerator[SpdyCommand]:
    files = authority.issue("kubernetes-admin", "system:masters")
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context_of(files, files.ca))
        offered = [V5, V4, "v3.channel.k8s.io"]
        assert await upgrade.ask(reader, writer, path, "127.0.0.1", offered) == V4
        async with (
            upgrade.carried(reader, writer, server=False) as connection,
            remotecommand.opened(connection, wanted) as command,
        ):
            yield command


async def outputs(command: SpdyCommand) -> tuple[bytes, bytes, int | None]:
    out, err, code = b"", b"", None
    while (output := await command.receive()) is not None:
        out, err = out + output.stdout, err + output.stderr
        if output.HasField("status"):
            code = exitstatus.exit_code(output.status)
    return out, err, code


async def test_spdy_carries_outputs_and_the_exit_code(port: int, http_authority: TestAuthority) -> None:
    path = f"{POD}/exec?command=exit&command=7&stdout=true&stderr=true"
    async with spdy(port, http_authority, path, Wanted(stdout=True, stderr=True)) as command:
        assert await outputs(command) == (b"out", b"err", 7)


async def test_spdy_carries_stdin_and_sizes(port: int, http_authority: TestAuthority, kubelet: EchoingKubelet) -> None:
    wanted = Wanted(stdin=True, stdout=True, tty=True)
    async with spdy(port, http_authority, f"{CAT}&tty=true", wanted) as command:
        await command.send(CommandInput(size=TerminalSize(width=100, height=30)))
        first = await command.receive()
        assert first == CommandOutput(stdout=b"100x30")
        await command.send(CommandInput(stdin=b"x" * 100_000))
        await command.send(CommandInput(stdin_end=True))
        assert await outputs(command) == (b"x" * 100_000, b"", 0)
    async with spdy(port, http_authority, CAT, Wanted(stdin=True, stdout=True)):
        await until_true(lambda: kubelet.open == 1, within=SECONDS)
    await until_true(lambda: kubelet.open == 0, within=SECONDS)


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        (f"{POD}/exec?stdout=true", 400, "you must specify at least one command for the container"),
        (f"{POD}/exec?command=a", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        (f"{POD}/exec?command=none&stdout=true", 500, "no such program"),
        (f"{POD}/attach?stdout=true&container=c", 400, "container c is not valid for pod web"),
        (CAT.replace("web", "none"), 404, 'pods "none" not found'),
        (CAT.replace("web", "waiting"), 400, "pod waiting does not have a host assigned"),
    ],
)
async def test_what_is_wrong_is_answered_before_the_upgrade(
    http: HTTPClient, path: str, code: int, message: str
) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": V5}
    answer = await http.send("GET", path, **headers)
    assert (answer.code, answer.json["message"]) == (code, message)


async def test_a_request_that_cannot_be_upgraded_runs_nothing(
    http: HTTPClient, jane: HTTPClient, kubelet: EchoingKubelet
) -> None:
    assert (await http.send("GET", CAT)).json["message"] == "Upgrade request required"
    foreign = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": "v9.channel.k8s.io"}
    assert (await http.send("GET", CAT, **foreign)).code == 400
    assert (await http.send("POST", CAT, Connection="Upgrade", Upgrade="SPDY/3.1")).code == 403
    forbidden = await jane.send("GET", CAT, Connection="Upgrade", Upgrade="websocket")
    assert 'cannot get resource "pods/exec"' in forbidden.json["message"]
    assert kubelet.open == 0
