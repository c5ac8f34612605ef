"""Bytes through a tunnel: both ways, halves closed one by one, refusals, and what stays open."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import SystemClock
from kubelab.cluster.record import Record
from kubelab.component.tunnels import Tunnels
from kubelab.supervisor import network
from kubelab.supervisor.network import NamespaceThread

pytestmark = pytest.mark.root
SECONDS = 20.0


@asynccontextmanager
async def tunnels(record: Record, file: Path) -> AsyncGenerator[Tunnels]:
    """Tunnels over a network that is there."""
    threads: list[NamespaceThread] = []
    for path in (Path("/proc/self/ns/net"), record.namespace("node-1")):
        fd = os.open(path, os.O_RDONLY)
        threads.append(NamespaceThread(fd, path.name))
        threads[-1].submit(int).result()
        os.close(fd)
    host, node = threads
    try:
        async with Tunnels(host, {"node-1": node}, file, SystemClock(), structlog.get_logger()) as made:
            yield made
    finally:
        for thread in threads:
            thread.close()


@pytest.fixture
def made(record: Record) -> Record:
    network.create(record)
    return record


@asynccontextmanager
async def echo(record: Record) -> AsyncGenerator[str]:
    """A server on cp-1 that answers only after the question has ended."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read()
        writer.write(b"you said " + question)
        writer.close()
        await writer.wait_closed()

    listener = network.inside(record.namespace("cp-1"), lambda: socket.create_server(("192.168.49.2", 0)))
    async with await asyncio.start_server(answer, sock=listener):
        yield f"192.168.49.2:{listener.getsockname()[1]}"


async def ask(port: int, question: bytes) -> bytes:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(question)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


async def test_an_answer_comes_after_the_question_has_ended(made: Record, tmp_path: Path) -> None:
    async with echo(made) as address, tunnels(made, tmp_path / "t.json") as opened:
        tunnel = await opened.open("node-1", address)
        assert await ask(tunnel.local_port, b"hello") == b"you said hello"


async def test_a_server_that_speaks_first_is_heard(made: Record, tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    listener = network.inside(made.namespace("cp-1"), lambda: socket.create_server(("192.168.49.2", 0)))
    async with await asyncio.start_server(greet, sock=listener), tunnels(made, tmp_path / "t.json") as opened:
        port = (await opened.open("node-1", f"192.168.49.2:{listener.getsockname()[1]}")).local_port
        assert await asyncio.gather(*(hear(port) for _ in range(50))) == [b"hello"] * 50


async def hear(port: int) -> bytes:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        heard = await reader.read()
        writer.close()
        await writer.wait_closed()
        return heard


async def test_a_large_question_and_many_at_once(made: Record, tmp_path: Path) -> None:
    question = os.urandom(4 * 1024 * 1024)
    async with echo(made) as address, tunnels(made, tmp_path / "t.json") as opened:
        port = (await opened.open("node-1", address)).local_port
        answers = await asyncio.gather(*(ask(port, question) for _ in range(8)))
    assert answers == [b"you said " + question] * 8


async def test_refused_inside_is_reset_outside(made: Record, tmp_path: Path) -> None:
    async with tunnels(made, tmp_path / "t.json") as opened:
        tunnel = await opened.open("node-1", "192.168.49.2:1")
        with pytest.raises(ConnectionError):
            await ask(tunnel.local_port, b"hello")


async def test_the_same_tunnel_is_opened_once(made: Record, tmp_path: Path) -> None:
    async with tunnels(made, tmp_path / "t.json") as opened:
        first = await opened.open("node-1", "192.168.49.2:80")
        assert await opened.open("node-1", "192.168.49.2:80") == first
        assert opened.list() == [first]


async def test_tunnels_come_back_on_their_ports_until_they_are_closed(made: Record, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    async with tunnels(made, file) as opened:
        first = await opened.open("node-1", "192.168.49.2:80")
    async with tunnels(made, file) as opened:
        assert opened.list() == [first]
        await opened.close(first.local_port)
        await opened.close(first.local_port)
    async with tunnels(made, file) as opened:
        assert opened.list() == []


@pytest.mark.parametrize("address", ["192.168.49.2", ":80", "192.168.49.2:x", "192.168.49.2:0", "a:70000"])
async def test_addresses_that_make_no_sense(made: Record, tmp_path: Path, address: str) -> None:
    async with tunnels(made, tmp_path / "t.json") as opened:
        with pytest.raises(errors.BadRequest, match="expected host:port"):
            await opened.open("node-1", address)


async def test_no_such_node_and_a_port_that_is_taken(made: Record, tmp_path: Path) -> None:
    async with tunnels(made, tmp_path / "t.json") as opened:
        with pytest.raises(errors.BadRequest, match='node "node-9" not found'):
            await opened.open("node-9", "192.168.49.2:80")
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(errors.AlreadyExists):
            await opened.open("node-1", "192.168.49.2:80", taken.getsockname()[1])
