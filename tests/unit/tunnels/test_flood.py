"""Tunnels in a process of their own with few descriptors, and clients that only take up room."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Generator

import pytest

from tests.support import polling

SECONDS = 30.0
TUNNELS = """
import asyncio, resource, sys
server, descriptors, client_first, numbers = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "first", sys.argv[4:]
resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
import structlog
from kubelab.apimachinery.clock import SystemClock
from kubelab.tunnels.connectionlimits import ConnectionLimits
from kubelab.tunnels.model import HostNetwork, Route, TunnelTarget
from kubelab.tunnels.tunnels import Tunnels
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main():
    target = TunnelTarget("here", "127.0.0.1", server)
    given = ConnectionLimits(*map(int, numbers)) if numbers else None
    here, log = HostNetwork(), structlog.get_logger()
    async with Tunnels(here, {"here": here}, SystemClock(), log, limits=given) as tunnels:
        made = await tunnels.open("here", target.address, route=Route((target,), client_first=client_first))
        print(made.local_port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


class Answer(socketserver.StreamRequestHandler):
    """Says what was said, and goes; "hold" stays for another line."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            self.wfile.write(b"you said " + line)
            if line != b"hold\n":
                return


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 1024


@pytest.fixture(scope="module")
def server() -> Generator[int]:
    with Server(("127.0.0.1", 0), Answer) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield int(made.server_address[1])
        made.shutdown()
        thread.join()


@contextlib.contextmanager
def tunnels(server: int, descriptors: int, *arguments: str) -> Generator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-c", TUNNELS, str(server), str(descriptors), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, int(process.stdout.readline())
            assert process.poll() is None, "it lives"
        finally:
            process.kill()


@contextlib.contextmanager
def idle(port: int, count: int) -> Generator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        made: list[socket.socket] = []
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            made.append(one)
        yield made


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        client.sendall(b"hello\n")
        heard = b""
        while more := client.recv(99):
            heard += more
        return heard


def answers(port: int) -> bool:
    with contextlib.suppress(ConnectionError):
        return ask(port) == b"you said hello\n"
    return False


@pytest.mark.parametrize("speaking", ["first", "either"])
def test_idle_connections_keep_nobody_out(server: int, speaking: str) -> None:
    with tunnels(server, 256, speaking) as (_, port), idle(port, 700):
        assert [ask(port) for _ in range(5)] == [b"you said hello\n"] * 5


async def test_without_a_descriptor_it_accepts_later_and_lives(server: int) -> None:
    """Limits above RLIMIT_NOFILE: a connection meets EMFILE and waits, the server goes on."""
    with tunnels(server, 64, "either", "1000", "1000", "1000", "1000") as (process, port):
        with idle(port, 200):
            assert process.poll() is None
        await polling.until_true(lambda: answers(port), within=SECONDS)
        assert process.poll() is None


async def test_connections_that_have_spoken_have_a_bound_and_others_are_refused(server: int) -> None:
    with tunnels(server, 256, "first", "8", "4", "4", "4") as (_, port), contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))
            client.sendall(b"hold\n")
            assert client.recv(99) == b"you said hold\n"
        with pytest.raises(ConnectionError):
            ask(port)
        stack.close()
        await polling.until_true(lambda: answers(port), within=SECONDS)
