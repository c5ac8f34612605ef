"""Two ends of a SPDY connection, wired to each other: streams, half-close, resets, bounds."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelab.spdy import connection as spdy
from kubelab.spdy import frames
from kubelab.spdy.connection import Connection, Stream
from kubelab.spdy.errors import ProtocolError, StreamReset
from tests.support.duplexes import rest


class Pair:
    """A client and a server; what one sends the other receives, in a task of its own."""

    def __init__(self, max_streams: int = 1000) -> None:
        self.to_server: asyncio.Queue[bytes] = asyncio.Queue()
        self.to_client: asyncio.Queue[bytes] = asyncio.Queue()
        self.client = Connection(self.to_server.put, server=False)
        self.server = Connection(self.to_client.put, server=True, max_streams=max_streams)

    async def __aenter__(self) -> Pair:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._tasks = [
            self._group.create_task(self._carry(self.to_server, self.server)),
            self._group.create_task(self._carry(self.to_client, self.client)),
        ]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)

    async def _carry(self, queue: asyncio.Queue[bytes], connection: Connection) -> None:
        while True:
            await connection.receive(await queue.get())

    async def stream(self, *, fin: bool = False) -> tuple[Stream, Stream]:
        ours = await self.client.open({"streamtype": "data", "port": "80"}, fin=fin)
        theirs = await self.server.accept()
        assert theirs is not None
        return ours, theirs


async def test_a_stream_carries_both_ways_and_each_way_ends_by_itself() -> None:
    async with Pair() as pair:
        ours, theirs = await pair.stream()
        assert theirs.headers == {"streamtype": "data", "port": "80"}
        await ours.write(b"question")
        await ours.write_eof()
        assert await rest(theirs) == b"question"
        await theirs.write(b"answer")
        await theirs.write_eof()
        assert await rest(ours) == b"answer"
        assert ours.over
        assert theirs.over


async def test_a_stream_opened_with_fin_is_only_read() -> None:
    async with Pair() as pair:
        ours, theirs = await pair.stream(fin=True)
        assert await theirs.read() == b""
        await theirs.write(b"an error")
        await theirs.write_eof()
        assert await rest(ours) == b"an error"
        with pytest.raises(StreamReset):
            await ours.write(b"more")


async def test_a_reset_reaches_the_other_side_and_no_other_stream() -> None:
    async with Pair() as pair:
        one, one_there = await pair.stream()
        two, two_there = await pair.stream()
        await one_there.reset()
        with pytest.raises(StreamReset):
            await one.read()
        await two.write(b"still here")
        await two.write_eof()
        assert await rest(two_there) == b"still here"


async def test_the_end_of_the_connection_breaks_every_stream() -> None:
    async with Pair() as pair:
        ours, _ = await pair.stream()
        pair.client.close("the connection broke")
        with pytest.raises(StreamReset, match="the connection broke"):
            await ours.read()
        with pytest.raises(StreamReset):
            await pair.client.open({})
        assert await pair.client.accept() is None


async def test_more_streams_than_allowed_are_refused() -> None:
    async with Pair(max_streams=2) as pair:
        await pair.stream()
        await pair.stream()
        with pytest.raises(StreamReset, match=f"status {frames.REFUSED_STREAM}"):
            await pair.client.open({})


async def test_a_reader_that_does_not_read_stops_the_sender() -> None:
    async with Pair() as pair:
        ours, theirs = await pair.stream()
        piece = b"x" * spdy.CHUNK
        for _ in range(40):
            await ours.write(piece)
        await ours.write_eof()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not pair.to_server.empty()  # not all was taken in
        assert len(await rest(theirs)) == 40 * len(piece)


async def test_a_ping_is_answered_and_ones_own_is_not() -> None:
    sent: list[bytes] = []

    async def send(data: bytes) -> None:
        sent.append(data)

    server = Connection(send, server=True)
    encoder = frames.FrameEncoder()
    await server.receive(encoder.encode(frames.Ping(1)) + encoder.encode(frames.Ping(2)))
    assert sent == [encoder.encode(frames.Ping(1))]


@pytest.mark.parametrize("numbers", [[2], [3, 1], [1, 1]])
async def test_streams_out_of_order_are_a_protocol_error(numbers: list[int]) -> None:
    async def send(data: bytes) -> None:
        del data

    server, encoder = Connection(send, server=True), frames.FrameEncoder()
    wire = b"".join(encoder.encode(frames.SynStream(number)) for number in numbers)
    with pytest.raises(ProtocolError, match="is not the other side's next"):
        await server.receive(wire)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=1, max_size=2000)), max_size=20))
def test_streams_do_not_mix(writes: list[tuple[int, bytes]]) -> None:
    async def run() -> list[bytes]:
        async with Pair() as pair:
            pairs = [await pair.stream() for _ in range(4)]
            for index, data in writes:
                await pairs[index][0].write(data)
            for ours, _ in pairs:
                await ours.write_eof()
            return [await rest(theirs) for _, theirs in pairs]

    received = asyncio.run(run())
    assert received == [b"".join(data for at, data in writes if at == index) for index in range(4)]
