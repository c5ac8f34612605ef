"""One SPDY connection: streams over whatever carries bytes.

The carrier passes what it receives to :meth:`Connection.receive`; the connection sends through a function of the
carrier's. The protocol's own flow control is not used, because Kubernetes' ``spdystream`` has none: a stream whose
reader does not keep up holds up the whole connection, through ``receive``, once :data:`MAX_UNREAD` bytes wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from kubelab.spdy import frames
from kubelab.spdy.errors import ProtocolError, StreamReset
from kubelab.spdy.frames import FrameDecoder, FrameEncoder

MAX_UNREAD = 256 << 10  # bytes of one stream that wait for its reader
MAX_STREAMS = 1000  # open at once, of the other side's
CHUNK = 32 << 10  # bytes of data in one frame

Send = Callable[[bytes], Awaitable[None]]


class Stream:
    """One stream. ``headers`` are those that it was opened with."""

    def __init__(self, connection: Connection, number: int, headers: Mapping[str, str]) -> None:
        self._connection, self.number, self.headers = connection, number, headers
        self._parts: deque[bytes] = deque()
        self._unread = 0
        self._ended = False  # the other side writes no more
        self._closed = False  # we write no more
        self._reset: str | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.replied = asyncio.Event()
        """Set when the other side has accepted the stream, or broken it off."""

    async def read(self) -> bytes:
        """Some bytes as they come, b"" at the end. StreamReset."""
        while True:
            if self._parts:
                part = self._parts.popleft()
                self._unread -= len(part)
                if self._unread < MAX_UNREAD:
                    self._room.set()
                return part
            if self._reset is not None:
                raise StreamReset(self._reset)
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()

    def read_nowait(self) -> bytes:
        """Everything that has come and was not read yet."""
        data = b"".join(self._parts)
        self._parts.clear()
        self._unread = 0
        self._room.set()
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when the carrier has taken them. StreamReset."""
        self._check()
        for start in range(0, len(data), CHUNK):
            await self._connection.send(frames.Data(self.number, data[start : start + CHUNK]))
            self._check()

    async def write_eof(self) -> None:
        """Say that nothing more comes from here. A second time says nothing."""
        if not self._closed and self._reset is None:
            self._closed = True
            await self._connection.send(frames.Data(self.number, b"", fin=True))
            self._connection.forget_if_over(self)

    async def reset(self, status: int = frames.CANCEL) -> None:
        """Break the stream off; nothing where it is over."""
        if self._reset is None and not self.over:
            self.break_off("the stream was reset here")
            await self._connection.send(frames.RstStream(self.number, status))

    @property
    def over(self) -> bool:
        """Whether neither side writes any more."""
        return self._reset is not None or (self._ended and self._closed)

    def _check(self) -> None:
        if self._reset is not None:
            raise StreamReset(self._reset)
        if self._closed:
            raise StreamReset("the stream is closed for writing")

    # --- for the connection

    async def take(self, data: bytes, fin: bool) -> None:
        """Queue what came; waits while too much is unread."""
        if data and not self._ended and self._reset is None:
            self._parts.append(data)
            self._unread += len(data)
            if self._unread >= MAX_UNREAD:
                self._room.clear()
        if fin:
            self._ended = True
            self._connection.forget_if_over(self)
        self._changed.set()
        await self._room.wait()

    def half_close(self) -> None:
        """Note that this side opened it without anything to write."""
        self._closed = True

    def break_off(self, why: str) -> None:
        """Wake all that waits here, with StreamReset."""
        if self._reset is None:
            self._reset = why
        self.replied.set()
        self._changed.set()
        self._room.set()
        self._connection.forget_if_over(self)

    @property
    def broken(self) -> str | None:
        """Why it was broken off; None where it was not."""
        return self._reset


class Connection:
    """See the module. ``server`` is the side that was connected to: its own streams have even numbers."""

    def __init__(self, send: Send, *, server: bool, max_streams: int = MAX_STREAMS) -> None:
        self._send, self._max_streams = send, max_streams
        self._encoder, self._decoder = FrameEncoder(), FrameDecoder()
        self._next = 2 if server else 1
        self._last_of_peer = 0
        self._streams: dict[int, Stream] = {}
        self._sending = asyncio.Lock()
        self._incoming: asyncio.Queue[Stream | None] = asyncio.Queue()
        self._over: str | None = None

    async def send(self, frame: frames.Frame) -> None:
        """Encode and send one frame; frames leave in the order of encoding."""
        async with self._sending:
            if self._over is not None:
                raise StreamReset(self._over)
            await self._send(self._encoder.encode(frame))

    async def open(self, headers: Mapping[str, str], *, fin: bool = False) -> Stream:
        """Open a stream and wait until the other side has accepted it. With ``fin`` this side writes nothing.
        StreamReset where it is refused."""
        if self._over is not None:
            raise StreamReset(self._over)
        number, self._next = self._next, self._next + 2
        stream = Stream(self, number, headers)
        if fin:
            stream.half_close()
        self._streams[number] = stream
        await self.send(frames.SynStream(number, headers, fin))
        await stream.replied.wait()
        if stream.broken is not None:
            raise StreamReset(stream.broken)
        return stream

    async def accept(self) -> Stream | None:
        """Give the next stream that the other side has opened, already accepted; None at the connection's end."""
        return await self._incoming.get()

    async def receive(self, data: bytes) -> None:
        """Take bytes from the carrier. ProtocolError, after which the connection is over."""
        try:
            for frame in self._decoder.feed(data):
                await self._take(frame)
        except ProtocolError as err:
            self.close(str(err))
            raise

    def close(self, why: str = "the connection has ended") -> None:
        """The carrier is gone, or is to go: every stream breaks off. Sends nothing."""
        if self._over is None:
            self._over = why
            self._incoming.put_nowait(None)
        for stream in list(self._streams.values()):
            stream.break_off(why)

    async def go_away(self) -> None:
        """Tell the other side that no new stream is taken."""
        await self.send(frames.GoAway(self._last_of_peer))

    def forget_if_over(self, stream: Stream) -> None:
        if stream.over:
            self._streams.pop(stream.number, None)

    async def _take(self, frame: frames.Frame) -> None:
        match frame:
            case frames.Data(number, data, fin):
                if stream := self._streams.get(number):
                    await stream.take(data, fin)
                # what still comes in a stream that is over here is of no use to anybody
            case frames.SynStream():
                await self._opened(frame)
            case frames.SynReply(number, _, fin):
                if stream := self._streams.get(number):
                    stream.replied.set()
                    await stream.take(b"", fin)
            case frames.Headers(number, _, fin):
                if stream := self._streams.get(number):
                    await stream.take(b"", fin)
            case frames.RstStream(number, status):
                if stream := self._streams.get(number):
                    stream.break_off(f"the other side reset the stream, status {status}")
            case frames.Ping(number):
                if number % 2 != self._next % 2:  # one of ours comes back otherwise
                    await self.send(frame)
            case frames.GoAway() | frames.Settings() | frames.WindowUpdate():
                pass  # what is open goes on to its end

    async def _opened(self, frame: frames.SynStream) -> None:
        number = frame.stream
        if number % 2 == self._next % 2 or number <= self._last_of_peer:
            raise ProtocolError(f"stream {number} is not the other side's next, its last was {self._last_of_peer}")
        self._last_of_peer = number
        if len(self._streams) >= self._max_streams:
            await self.send(frames.RstStream(number, frames.REFUSED_STREAM))
            return
        stream = Stream(self, number, frame.headers)
        stream.replied.set()
        if frame.unidirectional:
            stream.half_close()
        self._streams[number] = stream
        await self.send(frames.SynReply(number))
        if frame.fin:
            await stream.take(b"", fin=True)
        self._incoming.put_nowait(stream)
