"""A command of a container and this process: its streams, its terminal, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.remotecommand import terminal
from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from kubelab.api.meta.v1 import meta_pb2
    from kubelab.rpc.apiserver.v1.apiserver_pb2 import CommandOutput
    from kubelab.rpc.remotecommand import CalledCommand

STDIN = 0
NO_TTY = "Unable to use a TTY - input is not a terminal or the right kind of file"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a command is given: standard input, and whether that is a terminal which it has raw."""

    stdin: bool
    tty: bool


def settle(*, stdin: bool, tty: bool, quiet: bool) -> Wanted:
    """Say what a command can be given: a terminal only where there is one (kubectl's ``SetupTTY``)."""
    if not stdin or not tty:
        return Wanted(stdin, tty=False)
    if terminal.is_terminal(STDIN):
        return Wanted(stdin, tty=True)
    if not quiet:
        print(NO_TTY, file=sys.stderr)
    return Wanted(stdin, tty=False)


async def serve(
    begin: Callable[[], Awaitable[CalledCommand]], wanted: Wanted, *, redraw: bool = False
) -> meta_pb2.Status:
    """Begin a command and carry its streams to its end; gives how it ended. ConnectionError where it is lost.

    ``redraw``: it is told another size first, so that a program that was there before draws its screen anew.
    """
    with terminal.raw(STDIN) if wanted.tty else contextlib.nullcontext():
        command = await begin()
        try:
            async with asyncio.TaskGroup() as group:
                inputs: list[asyncio.Task[None]] = []
                if wanted.stdin:
                    inputs.append(group.create_task(_stdin(command)))
                if wanted.tty:
                    inputs.append(group.create_task(_sizes(command, redraw=redraw)))
                try:
                    return await _outputs(command)
                finally:
                    for task in inputs:
                        task.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        finally:
            await command.close()


async def _outputs(command: CalledCommand) -> meta_pb2.Status:
    while (output := await command.receive()) is not None:
        if output.stdout:
            terminal.write(output.stdout)
        if output.stderr:
            terminal.write(output.stderr, error=True)
        if output.HasField("status"):
            return output.status
    raise ConnectionResetError("the server ended the call before the command has ended")


async def _stdin(command: CalledCommand) -> None:
    from kubelab.rpc.apiserver.v1.apiserver_pb2 import CommandInput

    source = terminal.Input(STDIN)
    while data := await source.read():
        await command.send(CommandInput(stdin=data))
    await command.send(CommandInput(stdin_end=True))


async def _sizes(command: CalledCommand, *, redraw: bool) -> None:
    from kubelab.rpc.apiserver.v1.apiserver_pb2 import CommandInput, TerminalSize

    async with contextlib.aclosing(terminal.sizes(STDIN)) as sizes:
        async for width, height in sizes:
            if redraw:
                await command.send(CommandInput(size=TerminalSize(width=width + 1, height=height + 1)))
                redraw = False
            await command.send(CommandInput(size=TerminalSize(width=width, height=height)))


async def copied(command: CalledCommand, stdin: int, stdout: int) -> AsyncGenerator[CommandOutput]:
    """Carry a command's stdin and stdout from and to pipes, -1 for none; gives what it says. Owns the command and both.
    ConnectionError where it is lost."""
    from kubelab.rpc.apiserver.v1.apiserver_pb2 import CommandInput
    from kubelab.streams.descriptors import Descriptor

    source, sink = (Descriptor(fd) if fd >= 0 else None for fd in (stdin, stdout))

    async def send() -> None:
        while source and (data := await source.read()):
            await command.send(CommandInput(stdin=data))
        await command.send(CommandInput(stdin_end=True))

    sending = asyncio.ensure_future(send())
    try:
        while (output := await command.receive()) is not None:
            if output.stdout and sink:
                await sink.write(output.stdout)
            yield output
    finally:
        sending.cancel()
        await asyncio.wait([sending])
        await command.close()
        for descriptor in (source, sink):
            if descriptor:
                descriptor.close()


def exit_code(status: meta_pb2.Status, *, quiet: bool = False) -> int:
    """Give the exit code of a command that has ended, and say it unless ``quiet``. Failed where it could not be run."""
    from kubelab.apimachinery import exitstatus

    code = exitstatus.exit_code(status)
    if code is None:
        raise Failed(f"error: {escaped(status.message)}")
    if code and not quiet:
        sys.stdout.flush()
        print(f"command terminated with exit code {code}", file=sys.stderr)
    return code
