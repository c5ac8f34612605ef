"""Forwarded ports through an api-server to a pod's kubelet, with ``kctl port-forward`` at the other end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubelab.apimachinery import errors
from kubelab.kctl.forwardedports import ForwardedPort
from kubelab.kctl.portforward import Forwarder
from kubelab.kctl.session import Failed
from kubelab.streams.duplex import ForwardError
from tests.integration.apiserver.test_pod_logs import pod, ready
from tests.support.duplexes import rest
from tests.support.kubelets import EchoingKubelet, echoing_kubelet
from tests.support.pki import TestAuthority
from tests.support.polling import until_true

SECONDS = 30.0


@pytest.fixture
async def kubelet(authority: TestAuthority) -> AsyncIterator[tuple[EchoingKubelet, int]]:
    async with echoing_kubelet(authority) as (fake, port):
        yield fake, port


async def test_bytes_come_back_and_each_way_ends_by_itself(start: Any, authority: TestAuthority, kubelet: Any) -> None:
    fake, port = kubelet
    client = await ready(start, authority, port, pod("main"))
    async with asyncio.timeout(SECONDS):
        connections = [await client.port_forward("default", "web", 80) for _ in range(3)]
        for number, connection in enumerate(connections):
            await connection.write(b"x" * 100_000 + str(number).encode())
        for number, connection in reversed([*enumerate(connections)]):
            await connection.write_eof()
            assert await rest(connection) == b"x" * 100_000 + str(number).encode()
            await connection.close()
    await until_true(lambda: not fake.open, within=SECONDS)


async def test_what_the_kubelet_says_of_a_port_is_the_error(start: Any, authority: TestAuthority, kubelet: Any) -> None:
    _, port = kubelet
    client = await ready(start, authority, port, pod("main"))
    connection = await client.port_forward("default", "web", 81)
    with pytest.raises(ForwardError, match="connection refused"):
        await connection.read()
    await connection.close()


async def test_what_is_wrong_with_the_pod_is_told_at_once(start: Any, authority: TestAuthority, kubelet: Any) -> None:
    _, port = kubelet
    client = await ready(start, authority, port, pod("main", node=""))
    with pytest.raises(errors.BadRequest, match="pod web does not have a host assigned"):
        await client.port_forward("default", "web", 80)
    with pytest.raises(errors.NotFound, match='pods "nope" not found'):
        await client.port_forward("default", "nope", 80)
    with pytest.raises(errors.BadRequest, match="expected a number from 1 to 65535"):
        await client.port_forward("default", "web", 70000)


async def test_a_caller_that_goes_away_leaves_nothing_open(start: Any, authority: TestAuthority, kubelet: Any) -> None:
    fake, port = kubelet
    client = await ready(start, authority, port, pod("main"))
    connection = await client.port_forward("default", "web", 80)
    await connection.write(b"a")
    assert await connection.read() == b"a"
    assert fake.open == 1
    await connection.close()
    await until_true(lambda: not fake.open, within=SECONDS)


async def test_kctl_forwards_until_the_pod_ends(
    start: Any, authority: TestAuthority, kubelet: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake, port = kubelet
    client = await ready(start, authority, port, pod("main"))
    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
        forwarder = Forwarder(client, "default", "web")
        running = group.create_task(_outcome(forwarder))
        await forwarder.listening.wait()
        local = int(capsys.readouterr().out.partition("127.0.0.1:")[2].partition(" ")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", local)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"
        writer.close()
        fake.ended.set()
        assert await running == "error: lost connection to pod"
    assert capsys.readouterr().out == f"Handling connection for {local}\n"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", local)


async def _outcome(forwarder: Forwarder) -> str:
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await forwarder.run([ForwardedPort(0, 80)], [("127.0.0.1", True)])
        except Failed as err:
            return str(err)
    return ""
