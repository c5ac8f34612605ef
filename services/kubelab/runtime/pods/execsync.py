"""Running a command in a container that runs, for ExecSync and the probes that use it.

The command's end decides, not the end of its output: what it left in the background may hold its pipes open.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from kubelab.runtime.errors import CRIError
from kubelab.runtime.launcher.client import Launcher, NoAnswer
from kubelab.runtime.pods.commands import run_command

MAX_OUTPUT = 16 << 20  # bytes of each stream that are kept, as upstream does


@dataclass(frozen=True, slots=True)
class Result:
    """What a command printed, and its exit code; 128 + n for a signal n."""

    stdout: bytes
    stderr: bytes
    exit_code: int


class Output:
    """The reading end of a pipe, read by the event loop as data comes."""

    def __init__(self, fd: int) -> None:
        self._fd, self._loop = fd, asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._room = MAX_OUTPUT
        self._open = True
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    def _read(self) -> None:
        """Take what is there now."""
        while self._open:
            try:
                data = os.read(self._fd, 65536)
            except BlockingIOError:
                return
            if not data:
                self.close()
                return
            self._parts.append(data[: self._room])  # the rest is read as well, so that the command can go on
            self._room -= len(self._parts[-1])

    def take(self) -> bytes:
        """Everything up to now."""
        self._read()
        return b"".join(self._parts)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)


@contextlib.contextmanager
def _pipe() -> Generator[tuple[Output, int]]:
    """A pipe's reading end and the descriptor to write to, which is the body's to close."""
    mine, theirs = os.pipe2(os.O_CLOEXEC)
    output = Output(mine)
    try:
        yield output, theirs
    finally:
        output.close()


async def run(launcher: Launcher, request: Mapping[str, Any], *, seconds: float) -> Result:
    """Run a command; ``seconds`` 0 is for ever. CRIError DEADLINE_EXCEEDED when it took longer.

    It is killed with all that it started when it is late, or the caller has gone.
    """
    with _pipe() as out, _pipe() as err:
        try:
            code = await run_command(launcher, request, {"stdout": out[1], "stderr": err[1]}, seconds=seconds or None)
        except NoAnswer:
            late = f"command {' '.join(request['command'])!r} timed out"
            raise CRIError(late, grpc.StatusCode.DEADLINE_EXCEEDED) from None
        return Result(out[0].take(), err[0].take(), code)
