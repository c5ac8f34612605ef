"""A component's event loop takes all wake-ups of gRPC in one turn, and misses none of its events."""

from __future__ import annotations

import asyncio
import functools
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest

from kubelab.component.eventloop import EventLoop

CALLS = 200


class PollerCompletionQueue:
    """Has the name of gRPC's class, and reads as that does: one byte, and then everything that is in its queue."""

    def __init__(self, wakeups: socket.socket) -> None:
        self._wakeups = wakeups
        self.turns = 0

    def handle(self, loop: asyncio.AbstractEventLoop) -> None:
        self._wakeups.recv(1)
        self.turns += 1


@pytest.mark.parametrize("waiting", [1, 2, 500])
def test_wake_ups_that_wait_together_take_one_turn(waiting: int) -> None:
    wakeups, poller = socket.socketpair()
    wakeups.setblocking(False)
    queue = PollerCompletionQueue(wakeups)

    async def turn() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(wakeups, functools.partial(queue.handle, loop))
        poller.send(b"1" * waiting)
        for _ in range(5):  # turns of the loop: more than are needed
            await asyncio.sleep(0)

    with wakeups, poller, asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(turn())
        with pytest.raises(BlockingIOError):
            wakeups.recv(1)
    assert queue.turns == 1


def test_other_readers_find_what_was_sent_to_them() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def read() -> bytes:
        loop = asyncio.get_running_loop()
        got: asyncio.Future[bytes] = loop.create_future()
        loop.add_reader(ours, lambda: got.done() or got.set_result(ours.recv(10)))
        theirs.send(b"12345")
        return await got

    with ours, theirs, asyncio.Runner(loop_factory=EventLoop) as runner:
        assert runner.run(read()) == b"12345"


def test_grpc_is_recognised_and_every_call_is_answered(tmp_path: Path) -> None:
    async def double(request: bytes, context: Any) -> bytes:
        return request * 2

    async def calls() -> list[bytes]:
        server = grpc.aio.server()
        handler: Any = grpc.unary_unary_rpc_method_handler(double)  # type: ignore[arg-type]  # the stubs know only threads
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Say": handler}),))
        server.add_insecure_port(f"unix:{tmp_path}/echo")
        await server.start()
        async with grpc.aio.insecure_channel(f"unix:{tmp_path}/echo") as channel:
            say: Any = channel.unary_unary("/test.Echo/Say")
            answers = await asyncio.gather(*[say(b"%d" % n, timeout=20) for n in range(CALLS)])
        await server.stop(0)
        return answers

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        answers = runner.run(calls())
        loop = runner.get_loop()
    assert answers == [b"%d" % n * 2 for n in range(CALLS)]
    assert isinstance(loop, EventLoop)
    assert loop.emptied == 1
