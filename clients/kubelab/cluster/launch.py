"""Start a local cluster's supervisor, follow its progress, and clean up after one that is dead.

The supervisor is a process of its own (``python -m kubelab.supervisor``), detached from the terminal: this module
knows its command line, not its code.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

from kubelab.client.kubeconfig import give_to_invoker
from kubelab.topology.record import Record

SUPERVISOR = "supervisor"
CLEAN_SECONDS = 60.0


class Busy(Exception):
    """Another supervisor looks after the cluster: nothing was started."""


class LaunchFailed(Exception):
    """The supervisor ended before it answered; the message is its own."""


async def launch(record: Record) -> AsyncGenerator[str]:
    """Start a supervisor; yields each step that it begins, and ends when its socket answers.

    Raises Busy, LaunchFailed. Left early, it ends what it has started.
    """
    record.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    read_fd, write_fd = os.pipe()
    with os.fdopen(read_fd, "rb") as reading:
        try:
            pid = _spawn(record, write_fd)
        finally:
            os.close(write_fd)
        lines = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), reading)
        try:
            async for line in lines:
                word, _, rest = line.decode(errors="replace").strip().partition(" ")
                if word == "ready":
                    return
                if word == "busy":
                    raise Busy
                if word == "failed":
                    raise LaunchFailed(rest)
                yield rest
            await wait_ended(pid, CLEAN_SECONDS)
            raise LaunchFailed("the supervisor ended before it was ready")
        except (asyncio.CancelledError, GeneratorExit):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # our child, not reaped yet: the pid is still its own
            raise
        finally:
            transport.close()


def _spawn(record: Record, progress_fd: int) -> int:
    """Start a supervisor detached: in a session of its own, its output in its log."""
    log = os.open(record.log(SUPERVISOR), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.set_inheritable(progress_fd, True)
    try:
        arguments = _command(record, "--progress-fd", str(progress_fd))
        streams = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        return os.posix_spawn(arguments[0], arguments, os.environ, file_actions=streams, setsid=True)
    finally:
        os.close(log)
        os.close(null)


async def clean(record: Record, *, delete: bool) -> None:
    """Stop and remove what is left of a cluster whose supervisor is gone. Raises LaunchFailed."""
    process = await asyncio.create_subprocess_exec(
        *_command(record, "--clean", *(["--delete"] if delete else [])),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(CLEAN_SECONDS):
            output, _ = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    if process.returncode:
        text = output.decode(errors="replace").strip()
        raise LaunchFailed(f"cannot clean up: {text.splitlines()[-1] if text else f'code {process.returncode}'}")


@contextlib.contextmanager
def home_locked(home: Path) -> Generator[None]:
    """Hold the lock under which clusters below ``home`` start and stop; waits for the process that has it.

    A home that is empty at the end is removed.
    """
    fd = _own_home(home)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            home.rmdir()
        os.close(fd)


def _own_home(home: Path) -> int:
    """Make the folder, and lock it; the one before may have removed it meanwhile."""
    while True:
        with contextlib.suppress(FileExistsError):
            home.mkdir(parents=True, mode=0o700)
            give_to_invoker(home)
        fd = -1
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(home, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(fd), home.stat()):
                return fd
        if fd >= 0:
            os.close(fd)


async def wait_ended(pid: int, seconds: float) -> bool:
    """Wait until a process is gone; False when it is still there after so many seconds."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(fd, gone.set)
    try:
        async with asyncio.timeout(seconds):
            await gone.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    return True


def _command(record: Record, *arguments: str) -> list[str]:
    where = ["--home", str(record.home), "--cluster", record.name]
    return [sys.executable, "-m", "kubelab.supervisor", *where, *arguments]
