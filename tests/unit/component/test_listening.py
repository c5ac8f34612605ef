"""A server of gRPC in a process of its own, and clients that only take up room, with and without a certificate."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kubelab.component.descriptors import FEWEST_CONNECTIONS
from kubelab.rpc.channels import TLSIdentity, open_channel
from tests.support.pki import Files, TestAuthority

SECONDS = 30.0
SERVER = """
import asyncio, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]),) * 2)
from kubelab.component.config import TLS
from kubelab.component.serving import Health, serve_grpc

async def main():
    files = TLS(**{name: Path(sys.argv[1]) / f"{file}" for name, file in
        (("ca", "ca.crt"), ("certificate", "localhost.crt"), ("key", "localhost.key"))})
    quick = [("grpc.server_handshake_timeout_ms", 500)]
    async with serve_grpc("127.0.0.1:0", [], tls=files, health=Health(), options=quick) as serving:
        print(serving.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return TestAuthority(tmp_path_factory.mktemp("pki")).issue("localhost")


@contextlib.contextmanager
def serving(files: Files, descriptors: int = 1024) -> Generator[int]:
    command = [sys.executable, "-c", SERVER, str(files.ca.parent), str(descriptors)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
            assert process.poll() is None, "it lives"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(files: Files) -> Generator[int]:
    with serving(files) as port:
        yield port


async def is_answered(port: int, files: Files) -> bool:
    identity = TLSIdentity.from_files(files.ca, files.certificate, files.key)
    own = (("grpc.use_local_subchannel_pool", 1),)
    async with open_channel(f"localhost:{port}", identity, options=own) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS, wait_for_ready=True)
    return answer.status == health_pb2.HealthCheckResponse.SERVING


@contextlib.contextmanager
def clients(port: int, count: int, says: bytes = b"") -> Generator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in made:
            one.settimeout(SECONDS)
            one.connect(("127.0.0.1", port))
            with contextlib.suppress(ConnectionError):  # it was one too many
                one.sendall(says)
        yield made


HELLO = bytes.fromhex("1603010200010001fc0303")  # the beginning of a ClientHello


@pytest.mark.parametrize("says", [b"", HELLO, b"GET / HTTP/1.1\r\n", bytes(64)], ids=["idle", "half", "http", "zeros"])
async def test_who_shows_no_certificate_keeps_nobody_out_for_long(files: Files, says: bytes) -> None:
    """The bound leaves descriptors to the process, the handshake's deadline gives room back."""
    with serving(files, descriptors=96) as port, clients(port, 3 * FEWEST_CONNECTIONS, says) as made:
        assert await is_answered(port, files)
        for one in made:
            with contextlib.suppress(ConnectionError):
                while one.recv(4096):
                    pass  # an alert of TLS, at most
        assert await is_answered(port, files)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header that is not put into the table (RFC 7541, 6.2.2)."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
CALL = b"".join(
    literal(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", b"/grpc.health.v1.Health/Check"),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
)


def streams() -> Iterator[int]:
    return iter(range(1, 2**31, 2))


def rapid_resets() -> Iterator[bytes]:
    """CVE-2023-44487."""
    return (frame(HEADERS, 5, n, CALL) + frame(RST_STREAM, 0, n, (8).to_bytes(4, "big")) for n in streams())


def open_streams() -> Iterator[bytes]:
    return (frame(HEADERS, 4, n, CALL) for n in streams())


def settings() -> Iterator[bytes]:
    """CVE-2019-9515."""
    while True:
        yield frame(SETTINGS, 0, 0, (3).to_bytes(2, "big") + (100).to_bytes(4, "big")) * 100


def pings() -> Iterator[bytes]:
    """CVE-2019-9512."""
    while True:
        yield frame(PING, 0, 0, b"12345678") * 100


def continuations() -> Iterator[bytes]:
    """CVE-2024-27316."""
    yield frame(HEADERS, 0, 1, CALL)
    while True:
        yield frame(CONTINUATION, 0, 1, literal(b"x-a", b"b" * 100) * 100)


def empty_data() -> Iterator[bytes]:
    """CVE-2019-9518."""
    yield frame(HEADERS, 4, 1, CALL)
    while True:
        yield frame(DATA, 0, 1) * 100


def attack(port: int, files: Files, frames: Iterator[bytes], began: threading.Event, end: threading.Event) -> None:
    """Send frames as quickly as the server takes them."""
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    with context.wrap_socket(plain, server_hostname="localhost") as client, contextlib.suppress(OSError):
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        client.setblocking(False)
        waiting = b""
        for n, more in enumerate(frames):
            waiting = more
            while waiting and not end.is_set():
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    waiting = waiting[client.send(waiting) :]
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    client.recv(1 << 20)
            if n > 1000:
                began.set()
            if end.is_set():
                return
    began.set()  # the server has hung up on it


@pytest.mark.parametrize("frames", [rapid_resets, open_streams, settings, pings, continuations, empty_data])
async def test_one_connection_that_floods_holds_up_no_other(
    server: int, files: Files, frames: Callable[[], Iterator[bytes]]
) -> None:
    began, end = threading.Event(), threading.Event()
    attacker = asyncio.create_task(asyncio.to_thread(attack, server, files, frames(), began, end))
    try:
        assert await asyncio.to_thread(began.wait, SECONDS)
        for _ in range(3):
            assert await is_answered(server, files)
    finally:
        end.set()
        await attacker
    assert await is_answered(server, files)
