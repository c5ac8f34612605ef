"""Running a command in a container that runs, for ExecSync and the probes that use it.

The command's end decides, not the end of its output: what it left in the background may hold its pipes open. A command
that does not end in time is killed with all that it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from kubelab.apimachinery.clock import Clock
from kubelab.runtime.faults import Fault
from kubelab.runtime.processes import send

MAX_OUTPUT = 16 << 20  # bytes of each stream that are kept, as upstream does
# an empty cgroup folder, seen by this crun alone, for the reason that the launcher has one
_HIDE_CGROUPS = 'mount -t tmpfs tmpfs /sys/fs/cgroup && exec "$@"'


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
    """A pipe's reading end and the descriptor to write to, which is closed by whoever hands it on."""
    mine, theirs = os.pipe2(os.O_CLOEXEC)
    output = Output(mine)
    try:
        yield output, theirs
    finally:
        output.close()


async def run(
    crun: str, crun_root: Path, container: str, command: Sequence[str], *, seconds: float, clock: Clock
) -> Result:
    """Run a command; ``seconds`` 0 is for ever. Fault DEADLINE_EXCEEDED when it took longer."""
    with tempfile.TemporaryDirectory(prefix="exec-", dir=crun_root.parent) as folder, _pipe() as out, _pipe() as err:
        pid_file = Path(folder) / "pid"
        try:
            process = await asyncio.create_subprocess_exec(
                *("unshare", "--mount", "sh", "-c", _HIDE_CGROUPS, "exec", crun, f"--root={crun_root}"),
                *("--cgroup-manager=disabled", "exec", f"--pid-file={pid_file}", container, *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out[1],
                stderr=err[1],
            )
        finally:
            os.close(out[1])
            os.close(err[1])
        try:
            async with clock.timeout(seconds or None):
                code = await process.wait()
        except TimeoutError:
            told = f"command {' '.join(command)!r} timed out"
            raise Fault(told, grpc.StatusCode.DEADLINE_EXCEEDED) from None
        finally:
            if process.returncode is None:  # too late, or the caller has gone
                _end(pid_file)
                process.kill()
                await process.wait()
        return Result(out[0].take(), err[0].take(), code if code >= 0 else 128 - code)


def _end(pid_file: Path) -> None:
    """Kill the command and its children. Its pid is good as long as crun, its parent, has not been waited for."""
    with contextlib.suppress(FileNotFoundError):  # it did not come to that
        if text := pid_file.read_text().strip():
            for pid in [int(text), *_descendants(int(text))]:
                send(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found
