"""A way out for RUN: a network namespace of the step's own, which slirp4netns joins to the machine's network.

A node of a local cluster has no route out of the machine. slirp4netns (https://github.com/rootless-containers/slirp4netns)
forwards a namespace's connections from user space, without a change to the machine's own network; the machine's loopback
addresses stay out of reach. It ends with the pipe that its caller holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from kubelab.apimachinery.clock import Clock
from kubelab.runtime.errors import CRIError
from kubelab.runtime.host import hostnetwork

PROGRAM = "slirp4netns"
RESOLVER = "nameserver 10.0.2.3\n"  # slirp4netns answers there, and asks the machine's own name servers
READY_SECONDS = 10.0
_HOLD = ("unshare", "--net", "sh", "-c", "echo ready; exec cat")  # a namespace is there as long as its process


@dataclass(frozen=True, slots=True)
class WayOut:
    """The namespace that a step runs in, and what its resolv.conf says."""

    namespace: Path
    resolver: str = RESOLVER


def is_needed() -> bool:
    """Whether the node's own network does not lead out of the machine."""
    return bool(os.environ.get(hostnetwork.VARIABLE))


def is_possible() -> bool:
    """Whether this machine has the program that leads out."""
    return is_needed() and shutil.which(PROGRAM) is not None


@contextlib.asynccontextmanager
async def way_out(network: str, clock: Clock) -> AsyncGenerator[WayOut | None]:
    """Open a way out for a step with the default network, until the body ends; None where it has another. CRIError."""
    if network != "default" or not is_possible():
        yield None
        return
    holder = await asyncio.create_subprocess_exec(*_HOLD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    async with _ending(holder):
        assert holder.stdout is not None
        async with _in_time(clock):
            await holder.stdout.readline()
        async with _forwarding(holder.pid, clock):
            yield WayOut(Path(f"/proc/{holder.pid}/ns/net"))


@contextlib.asynccontextmanager
async def _forwarding(pid: int, clock: Clock) -> AsyncGenerator[None]:
    """Run slirp4netns between the machine's network and that of a process."""
    is_ready, ready = os.pipe()
    exit_read, exit_write = os.pipe()
    machine = os.environ[hostnetwork.VARIABLE]
    words = ["--configure", "--mtu=65520", "--disable-host-loopback", f"--ready-fd={ready}", f"--exit-fd={exit_read}"]
    try:
        process = await asyncio.create_subprocess_exec(
            *("nsenter", f"--net={machine}", "--", PROGRAM, *words, str(pid), "tap0"),
            pass_fds=(ready, exit_read),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except BaseException:
        os.close(is_ready)
        os.close(exit_write)
        raise
    finally:
        os.close(ready)
        os.close(exit_read)
    async with _ending(process):
        try:
            async with _in_time(clock):
                if not await _read(is_ready):
                    assert process.stderr is not None
                    why = (await process.stderr.read()).decode(errors="replace").strip()
                    raise CRIError(f"the step gets no way out of the machine: {PROGRAM}: {why}")
            yield
        finally:
            os.close(exit_write)


async def _read(fd: int) -> bytes:
    """Read what comes first from a pipe, and close it; empty where its writer has ended."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb"))
    try:
        return await reader.read(1)
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def _in_time(clock: Clock) -> AsyncGenerator[None]:
    try:
        async with clock.timeout(READY_SECONDS):
            yield
    except TimeoutError as err:
        raise CRIError(f"the step gets no way out of the machine: not ready within {READY_SECONDS:g} s") from err


@contextlib.asynccontextmanager
async def _ending(process: asyncio.subprocess.Process) -> AsyncGenerator[None]:
    """Have a process gone when the body has ended."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
