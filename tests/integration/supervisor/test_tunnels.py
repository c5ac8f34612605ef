"""Bytes through a tunnel: both ways, halves closed one by one, refusals, and what stays open."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import structlog

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import SystemClock
from kubelab.supervisor import network
from kubelab.topology.record import Record
from kubelab.tunnels.model import HostNetwork, NetworkNamespace, Route, TunnelTarget
from kubelab.tunnels.tunnels import Tunnels

from .conftest import until_true

pytestmark = pytest.mark.root
SECONDS = 20.0


@asynccontextmanager
async def tunnels(record: Record) -> AsyncGenerator[Tunnels]:
    """Tunnels over a network that is there."""
    nodes = {name: NetworkNamespace(record.namespace(name)) for name in record.node_names}
    try:
        async with Tunnels(HostNetwork(), nodes, SystemClock(), structlog.get_logger()) as made:
            yield made
    finally:
        for node in nodes.values():
            node.close()


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


async def test_an_answer_comes_after_the_question_has_ended(made: Record) -> None:
    async with echo(made) as address, tunnels(made) as opened:
        tunnel = await opened.open("node-1", address)
        assert await ask(tunnel.local_port, b"hello") == b"you said hello"


async def test_a_server_that_speaks_first_is_heard(made: Record) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    listener = network.inside(made.namespace("cp-1"), lambda: socket.create_server(("192.168.49.2", 0)))
    async with await asyncio.start_server(greet, sock=listener), tunnels(made) as opened:
        port = (await opened.open("node-1", f"192.168.49.2:{listener.getsockname()[1]}")).local_port
        assert await asyncio.gather(*(hear(port) for _ in range(50))) == [b"hello"] * 50


async def hear(port: int) -> bytes:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        heard = await reader.read()
        writer.close()
        await writer.wait_closed()
        return heard


async def test_a_large_question_and_many_at_once(made: Record) -> None:
    question = os.urandom(4 * 1024 * 1024)
    async with echo(made) as address, tunnels(made) as opened:
        port = (await opened.open("node-1", address)).local_port
        answers = await asyncio.gather(*(ask(port, question) for _ in range(8)))
    assert answers == [b"you said " + question] * 8


async def test_refused_inside_is_reset_outside(made: Record) -> None:
    async with tunnels(made) as opened:
        tunnel = await opened.open("node-1", "192.168.49.2:1")
        with pytest.raises(ConnectionError):
            await ask(tunnel.local_port, b"hello")


async def test_the_same_tunnel_is_opened_once(made: Record) -> None:
    async with tunnels(made) as opened:
        first = await opened.open("node-1", "192.168.49.2:80")
        assert await opened.open("node-1", "192.168.49.2:80") == first
        assert opened.list() == [first]


@pytest.mark.parametrize("address", ["192.168.49.2", ":80", "192.168.49.2:x", "192.168.49.2:0", "a:70000"])
async def test_addresses_that_make_no_sense(made: Record, address: str) -> None:
    async with tunnels(made) as opened:
        with pytest.raises(errors.BadRequest, match="expected host:port"):
            await opened.open("node-1", address)


async def test_no_such_node_and_a_port_that_is_taken(made: Record) -> None:
    async with tunnels(made) as opened:
        with pytest.raises(errors.BadRequest, match='node "node-9" not found'):
            await opened.open("node-9", "192.168.49.2:80")
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(errors.AlreadyExists):
            await opened.open("node-1", "192.168.49.2:80", taken.getsockname()[1])


@asynccontextmanager
async def named(record: Record, node: str, word: bytes) -> AsyncGenerator[TunnelTarget]:
    """A server on a node that says its name."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(word)
        writer.close()
        await writer.wait_closed()

    address = next(each.address for each in record.nodes if each.name == node)
    listener = network.inside(record.namespace(node), lambda: socket.create_server((address, 0)))
    async with await asyncio.start_server(answer, sock=listener):
        yield TunnelTarget(node, address, listener.getsockname()[1])


async def test_a_connection_goes_to_a_node_that_answers(made: Record) -> None:
    """One refuses, one drops every packet, the third answers; afterwards the third is asked at once."""
    refusing, silent = TunnelTarget("cp-1", "192.168.49.2", 1), TunnelTarget("cp-1", "192.0.2.1", 80)
    drop = ["ip", "route", "add", "blackhole", "192.0.2.1"]
    async with named(made, "node-1", b"node-1") as well, tunnels(made) as opened:
        network.inside(made.namespace("cp-1"), lambda: subprocess.run(drop, check=True))
        for first in (refusing, silent):
            route = Route((first, well))
            tunnel = await opened.open("", f"{first.address}", route=route)
            assert await hear(tunnel.local_port) == b"node-1"
            assert opened.target_health.order(route, SystemClock().monotonic()) == [well, first]
            await opened.close(tunnel.local_port)


async def test_who_is_known_to_be_ill_is_asked_last(made: Record) -> None:
    async with named(made, "cp-1", b"cp-1") as one, named(made, "node-1", b"node-1") as two, tunnels(made) as opened:
        tunnel = await opened.open("", "any:80", route=Route((one, two)))
        assert await hear(tunnel.local_port) == b"cp-1"
        opened.target_health.unhealthy = {one.address}
        assert await hear(tunnel.local_port) == b"node-1"
        opened.target_health.unhealthy = {one.address, "node-1"}
        assert await hear(tunnel.local_port) == b"cp-1", "all are unhealthy: tried as if none were"


async def test_a_server_that_does_not_answer_is_not_asked_again(made: Record) -> None:
    """Its kernel takes the connection, the process does not run: what a frozen api-server looks like."""
    frozen = network.inside(made.namespace("cp-1"), lambda: socket.create_server(("192.168.49.2", 0)))
    with frozen:
        one = TunnelTarget("cp-1", "192.168.49.2", frozen.getsockname()[1])
        async with named(made, "node-1", b"node-1") as two, tunnels(made) as opened:
            route = Route((one, two), client_first=True)
            tunnel = await opened.open("", "any:80", route=route)
            async with asyncio.timeout(SECONDS):
                _, writer = await asyncio.open_connection("127.0.0.1", tunnel.local_port)
                writer.write(b"hello")
                await until_true(lambda: opened.target_health.order(route, SystemClock().monotonic()) == [two, one])
                assert await ask(tunnel.local_port, b"hello") == b"node-1"
                writer.close()
                await writer.wait_closed()


async def test_a_client_that_says_nothing_stays_outside(made: Record) -> None:
    asked = asyncio.Event()

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.close()

    listener = network.inside(made.namespace("cp-1"), lambda: socket.create_server(("192.168.49.2", 0)))
    target = TunnelTarget("cp-1", "192.168.49.2", listener.getsockname()[1])
    async with await asyncio.start_server(answer, sock=listener), tunnels(made) as opened:
        tunnel = await opened.open("cp-1", target.address, route=Route((target,), client_first=True))
        _, silent = await asyncio.open_connection("127.0.0.1", tunnel.local_port)
        async with asyncio.timeout(SECONDS):
            await until_true(lambda: len(opened.limiter))
            assert not asked.is_set()
            silent.write(b"hello")
            await asked.wait()
        silent.close()
