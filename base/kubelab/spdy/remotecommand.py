"""The protocol ``v4.channel.k8s.io`` of remote commands in streams of SPDY: ``error``, ``stdin``, ``stdout``,
``stderr`` and ``resize``, each where it was asked for. All are opened by the side that has the command run.

https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/client-go/tools/remotecommand/v4.go
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import exitstatus
from kubelab.apimachinery.clock import Clock
from kubelab.rpc.apiserver.v1.apiserver_pb2 import CommandInput, CommandOutput
from kubelab.spdy.connection import Connection, Stream
from kubelab.spdy.errors import ProtocolError, StreamReset

PROTOCOL = "v4.channel.k8s.io"
STREAMS_SECONDS = 30.0  # for all streams to be opened
MAX_STATUS = 64 << 10  # bytes of an error stream
_TYPE = "streamtype"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of a command's streams are wanted."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    def names(self) -> list[str]:
        """Give the streams in the order in which they are opened. With a terminal there is no stderr of its own."""
        wanted = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr and not self.tty}
        return ["error", *(name for name, yes in wanted.items() if yes), *(["resize"] if self.tty else [])]


@contextlib.asynccontextmanager
async def opened(connection: Connection, wanted: Wanted) -> AsyncGenerator[SpdyCommand]:
    """Open a command's streams, for as long as the body runs. StreamReset."""
    streams = {name: await connection.open({_TYPE: name}) for name in wanted.names()}
    command = SpdyCommand(streams)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(command.read_all(), name="command-output")
        try:
            yield command
        finally:
            reading.cancel()


class SpdyCommand:
    """A :class:`kubelab.rpc.remotecommand.RemoteCommand` at the other end of a connection."""

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self._streams = streams
        self._outputs: asyncio.Queue[CommandOutput | ConnectionError | None] = asyncio.Queue(1)

    async def send(self, given: CommandInput) -> None:
        stdin, resize = self._streams.get("stdin"), self._streams.get("resize")
        with contextlib.suppress(StreamReset):  # the command has ended, or reads no more
            if given.stdin and stdin is not None:
                await stdin.write(given.stdin)
            if given.stdin_end and stdin is not None:
                await stdin.write_eof()
            if given.HasField("size") and resize is not None:
                size = {"Width": given.size.width, "Height": given.size.height}
                await resize.write(json.dumps(size).encode() + b"\n")

    async def receive(self) -> CommandOutput | None:
        output = await self._outputs.get()
        if isinstance(output, ConnectionError):
            raise output
        return output

    async def read_all(self) -> None:
        """Queue what comes, up to the status."""
        try:
            async with asyncio.TaskGroup() as group:
                for name in ("stdout", "stderr"):
                    if stream := self._streams.get(name):
                        group.create_task(self._copy(name, stream))
                status = group.create_task(_status(self._streams["error"]))
            await self._outputs.put(CommandOutput(status=status.result()))
            await self._outputs.put(None)
        except ExceptionGroup as failed:
            await self._outputs.put(ConnectionResetError(str(failed.exceptions[0])))

    async def _copy(self, name: str, stream: Stream) -> None:
        with contextlib.suppress(StreamReset):  # the error stream breaks off, too, or tells how the command ended
            while data := await stream.read():
                await self._outputs.put(CommandOutput(stdout=data) if name == "stdout" else CommandOutput(stderr=data))


async def _status(stream: Stream) -> meta_pb2.Status:
    """Read an error stream to its end. StreamReset where it says nothing: the runtime is gone."""
    text = b""
    try:
        while (part := await stream.read()) and len(text) < MAX_STATUS:
            text += part
    except StreamReset:  # containerd ends the whole connection right after the status
        if not text:
            raise
    return exitstatus.from_json(text) if text else exitstatus.exited(0)


async def accepted(connection: Connection, wanted: Wanted, clock: Clock) -> dict[str, Stream]:
    """Take the streams that the other side opens, by name. ProtocolError for others; TimeoutError."""
    expected = set(wanted.names())
    streams = dict[str, Stream]()
    async with clock.timeout(STREAMS_SECONDS):
        while expected:
            stream = await connection.accept()
            if stream is None:
                raise ConnectionResetError("the connection ended before the command's streams were open")
            name = stream.headers.get(_TYPE, "")
            if name not in expected:
                raise ProtocolError(f"the stream {name!r} is not one of {', '.join(sorted(expected))}")
            expected.discard(name)
            streams[name] = stream
    return streams


class Sizes:
    """Reads a ``resize`` stream: JSON documents, one after the other."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._decoder, self._text = stream, json.JSONDecoder(), ""

    async def next(self) -> tuple[int, int] | None:
        """Give the next width and height; None at the end. ProtocolError."""
        while True:
            self._text = self._text.lstrip()
            try:
                size: Any
                size, end = self._decoder.raw_decode(self._text)
            except ValueError:
                part = await self._stream.read()
                if not part:
                    return None
                self._text += part.decode("utf-8", "replace")
                if len(self._text) > MAX_STATUS:
                    raise ProtocolError("a terminal's size that is no JSON") from None
                continue
            self._text = self._text[end:]
            try:
                width, height = int(size["Width"]), int(size["Height"])
            except (KeyError, TypeError, ValueError) as err:
                raise ProtocolError(f"{size!r} is no terminal's size") from err
            if 0 <= width < 65536 and 0 <= height < 65536:
                return width, height
