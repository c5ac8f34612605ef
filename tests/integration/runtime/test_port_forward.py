"""PortForward of the CRI: connections into a pod's network, as a kubelet makes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import grpc
import pytest

from kubelab.apimachinery.clock import SystemClock
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.streaming.runtimestreams import streaming
from kubelab.spdy.connection import Connection
from kubelab.spdy.errors import StreamReset
from kubelab.spdy.portforward import PROTOCOL, open_port
from kubelab.spdy.upgrade import Refused
from kubelab.streams.duplex import ForwardError
from tests.integration.runtime.lab import SECONDS, Lab, until
from tests.support.duplexes import rest

pytestmark = pytest.mark.root

# Sends back what it was sent, in capital letters, once it knows that nothing more comes.
SHOUT = """
import socket, sys, threading
def serve(family, host, port):
    with socket.create_server((host, port), family=family) as server:
        print(f"listening on {port}", flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()
def answer(connection):
    with connection:
        asked = b"".join(iter(lambda: connection.recv(65536), b""))
        connection.sendall(asked.upper())
for family, host, port in ((socket.AF_INET, "127.0.0.1", 8000), (socket.AF_INET6, "::1", 8006)):
    threading.Thread(target=serve, args=(family, host, port)).start()
"""


async def pod(lab: Lab, name: str = "shout") -> str:
    sandbox = await lab.sandbox(name)
    container = await lab.run(sandbox, "app", ["/usr/bin/python3", "-c", SHOUT])
    log = (await lab.status(container)).log_path
    await until(lambda: Path(log).exists() and Path(log).read_text().count("listening on") == 2)
    return sandbox


async def url_of(lab: Lab, sandbox: str, port: int = 8000) -> str:
    request = cri.PortForwardRequest(pod_sandbox_id=sandbox, port=[port])
    return (await lab.runtime.PortForward(request, timeout=SECONDS)).url


@contextlib.asynccontextmanager
async def forwarding(lab: Lab, sandbox: str) -> AsyncGenerator[Connection]:
    async with (
        asyncio.timeout(SECONDS),
        streaming(await url_of(lab, sandbox), (PROTOCOL,), SystemClock()) as connection,
    ):
        yield connection


@pytest.mark.parametrize("port", [8000, 8006])
async def test_bytes_go_both_ways_and_each_way_ends_by_itself(lab: Lab, port: int) -> None:
    async with forwarding(lab, await pod(lab)) as connection:
        forwarded = await open_port(connection, port, 0)
        await forwarded.write(b"hello ")
        await forwarded.write(b"pod")
        await forwarded.write_eof()
        assert await rest(forwarded) == b"HELLO POD"


async def test_many_connections_share_one_stream_and_none_waits_for_another(lab: Lab) -> None:
    async with forwarding(lab, await pod(lab)) as connection:
        silent = await open_port(connection, 8000, 0)  # open as long as the others, and ends after them
        large = b"x" * 1_000_000

        async def ask(number: int) -> bytes:
            forwarded = await open_port(connection, 8000, number)
            await forwarded.write(large + str(number).encode())
            await forwarded.write_eof()
            return await rest(forwarded)

        answers = await asyncio.gather(*(ask(number) for number in range(1, 6)))
        assert answers == [large.upper() + str(number).encode() for number in range(1, 6)]
        await silent.write_eof()
        assert await rest(silent) == b""


async def test_a_port_where_nothing_listens_is_an_error_in_containerds_words(lab: Lab) -> None:
    sandbox = await pod(lab)
    async with forwarding(lab, sandbox) as connection:
        refused = await open_port(connection, 81, 0)
        with pytest.raises(ForwardError) as told:
            await refused.read()
        assert str(told.value).startswith(f"error forwarding port 81 to pod {sandbox}, uid : failed to execute")
        assert (
            f'failed to connect to localhost:81 inside namespace "{sandbox}", IPv4: dial tcp4 127.0.0.1:81: connect: '
            "connection refused IPv6 dial tcp6 [::1]:81: connect: connection refused" in str(told.value)
        )
        works = await open_port(connection, 8000, 1)  # the connection goes on
        await works.write_eof()
        assert await rest(works) == b""


async def test_the_end_of_the_pod_ends_its_forwarded_connections(lab: Lab) -> None:
    sandbox = await pod(lab)
    async with forwarding(lab, sandbox) as connection:
        forwarded = await open_port(connection, 8000, 0)
        await forwarded.write(b"a")
        await lab.stop_sandbox(sandbox)
        with pytest.raises(StreamReset):
            await rest(forwarded)
    with pytest.raises(grpc.aio.AioRpcError, match="is not running"):
        await url_of(lab, sandbox)


async def test_a_url_is_good_for_one_connection(lab: Lab) -> None:
    url = await url_of(lab, await pod(lab))
    async with asyncio.timeout(SECONDS), streaming(url, (PROTOCOL,), SystemClock()):
        pass
    for used in (url, url.rpartition("/")[0] + "/guessed"):
        with pytest.raises(Refused, match="404"):
            async with streaming(used, (PROTOCOL,), SystemClock()):
                pass


async def test_nothing_stays_when_the_client_has_gone(lab: Lab) -> None:
    sandbox = await pod(lab)
    pid = lab.pid

    def sockets() -> int:
        return sum(1 for fd in Path(f"/proc/{pid}/fd").iterdir() if _is_socket(fd))

    before = sockets()
    async with forwarding(lab, sandbox) as connection:
        for number in range(5):
            await (await open_port(connection, 8000, number)).write(b"a")
        await until(lambda: sockets() >= before + 6)  # the stream's own, and one in the pod for each
    await until(lambda: sockets() <= before)


def _is_socket(fd: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return str(fd.readlink()).startswith("socket:")
    return False
