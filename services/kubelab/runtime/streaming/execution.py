"""Exec of the CRI: a command in a container, and its streams in streams of SPDY."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import exitstatus
from kubelab.runtime.errors import CRIError
from kubelab.runtime.launcher.client import Launcher
from kubelab.runtime.pods.commands import run_command
from kubelab.spdy.connection import Stream
from kubelab.spdy.errors import ProtocolError
from kubelab.spdy.remotecommand import Sizes
from kubelab.streams.descriptors import Descriptor, receive_descriptor


async def run(launcher: Launcher, request: Mapping[str, Any], streams: Mapping[str, Stream]) -> meta_pb2.Status:
    """Run a command and copy its streams; gives how it ended. ``streams`` are by name, with ``resize`` for a terminal.

    When this is cancelled, the command is killed with all that it started.
    """
    copies = _Terminal(streams) if "resize" in streams else _Pipes(streams)
    try:
        async with copies.running() as given:
            code = await run_command(launcher, request, given)
    except CRIError as err:
        return exitstatus.failed(
            f"error executing command in container: failed to exec in container: failed to start exec "
            f'"{request["id"]}": OCI runtime exec failed: exec failed: unable to start container process: {err}'
        )
    return exitstatus.exited(code)


class _Pipes:
    """A pipe for each stream."""

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self._streams = streams

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[dict[str, int]]:
        """Copy while the body runs; gives the command's ends, which are the body's to close. At its end comes what was
        printed by then."""
        ours, given = dict[str, Descriptor](), dict[str, int]()
        for name in ("stdin", "stdout", "stderr"):
            if name in self._streams:
                reading, writing = os.pipe2(os.O_CLOEXEC)
                mine, given[name] = (writing, reading) if name == "stdin" else (reading, writing)
                ours[name] = Descriptor(mine)
        outputs = [descriptor for name, descriptor in ours.items() if name != "stdin"]
        inputs: list[Coroutine[Any, Any, None]] = []
        if stdin := ours.get("stdin"):
            inputs.append(_feed(self._streams["stdin"], stdin))
        try:
            async with _copying(inputs, [_drain(ours[n], self._streams[n]) for n in ours if n != "stdin"]):
                yield given
                for output in outputs:
                    output.finish()
        finally:
            for descriptor in ours.values():
                descriptor.close()


class _Terminal:
    """A terminal, which the command's container makes and sends here."""

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self._streams = streams
        self._terminal: Descriptor | None = None
        self._there = asyncio.Event()
        self._ended = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[dict[str, int]]:
        """As that of the pipes."""
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        inputs: list[Coroutine[Any, Any, None]] = [self._sizes()]
        if "stdin" in self._streams:
            inputs.append(self._stdin())
        try:
            async with _copying(inputs, [self._output(mine)]):
                yield {"console": theirs.detach()}
                self._ended = True
                if self._terminal is not None:
                    self._terminal.finish()
        finally:
            mine.close()
            if self._terminal is not None:
                self._terminal.close()

    async def _output(self, link: socket.socket) -> None:
        fd = await receive_descriptor(link)
        if fd is None:
            return
        self._terminal = Descriptor(fd)
        self._there.set()
        if self._ended:
            self._terminal.finish()
        await _drain(self._terminal, self._streams.get("stdout"))

    async def _stdin(self) -> None:
        await self._there.wait()
        if self._terminal is not None:
            await _copy(self._streams["stdin"], self._terminal)

    async def _sizes(self) -> None:
        sizes = Sizes(self._streams["resize"])
        await self._there.wait()
        with contextlib.suppress(ConnectionError, ProtocolError, OSError):
            while self._terminal is not None and (size := await sizes.next()) is not None:
                fcntl.ioctl(self._terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))


@contextlib.asynccontextmanager
async def _copying(
    inputs: list[Coroutine[Any, Any, None]], outputs: list[Coroutine[Any, Any, None]]
) -> AsyncGenerator[None]:
    """Copy while the body runs, and what is printed by then after it."""
    try:
        async with asyncio.TaskGroup() as group:
            entering = [group.create_task(copy) for copy in inputs]
            for copy in outputs:
                group.create_task(copy)
            try:
                yield
            finally:
                for task in entering:
                    task.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


async def _copy(stream: Stream, target: Descriptor) -> None:
    """Write what comes in a stream; what nobody reads any more is thrown away, so that the connection goes on."""
    with contextlib.suppress(ConnectionError):
        while data := await stream.read():
            await target.write(data)
        return
    with contextlib.suppress(ConnectionError):
        while await stream.read():
            pass


async def _feed(stream: Stream, stdin: Descriptor) -> None:
    await _copy(stream, stdin)
    stdin.close()


async def _drain(source: Descriptor, stream: Stream | None) -> None:
    """Send what is printed; without a stream it is read only, so that the command can go on. ConnectionError."""
    while data := await source.read():
        if stream is not None:
            await stream.write(data)
