"""A command's streams, or a container's own, over SPDY as a kubelet has them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.exitstatus import exit_code
from kubelab.kubelet.streaming.runtimestreams import streaming
from kubelab.rpc.apiserver.v1.apiserver_pb2 import CommandInput, TerminalSize
from kubelab.spdy.remotecommand import PROTOCOL, SpdyCommand, Wanted, opened
from tests.integration.runtime.lab import SECONDS


@dataclass
class Session:
    """A command that has begun, and what it has said so far."""

    command: SpdyCommand
    stdout: bytes = b""
    stderr: bytes = b""
    status: meta_pb2.Status = field(default_factory=meta_pb2.Status)

    async def type(self, text: str) -> None:
        await self.command.send(CommandInput(stdin=text.encode()))

    async def end_of_input(self) -> None:
        await self.command.send(CommandInput(stdin_end=True))

    async def resize(self, width: int, height: int) -> None:
        await self.command.send(CommandInput(size=TerminalSize(width=width, height=height)))

    async def says(self, text: bytes) -> None:
        """Wait until it has printed this."""
        while text not in self.stdout:
            assert await self._receive(), self

    async def end(self) -> int | str:
        """Wait for its end; gives the exit code, or why there is none."""
        while await self._receive():
            pass
        code = exit_code(self.status)
        return self.status.message if code is None else code

    async def _receive(self) -> bool:
        try:
            async with asyncio.timeout(SECONDS):
                output = await self.command.receive()
        except TimeoutError:
            raise AssertionError(f"it prints nothing more: {self}") from None
        if output is None:
            return False
        self.stdout += output.stdout
        self.stderr += output.stderr
        if output.HasField("status"):
            self.status = output.status
        return True


@contextlib.asynccontextmanager
async def speaking(url: str, wanted: Wanted) -> AsyncGenerator[Session]:
    async with (
        streaming(url, (PROTOCOL,), SystemClock(), abrupt=True) as connection,
        opened(connection, wanted) as command,
    ):
        yield Session(command)
