"""Run a program to its end, within a deadline, and return its output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence

from kubelab.apimachinery.errors import NotFound, Timeout
from kubelab.cluster.driver import CommandOutput


async def run_command(
    argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0, environment: Mapping[str, str] | None = None
) -> CommandOutput:
    """Run a program and wait for it, ``timeout`` seconds at most. Raises NotFound when there is none, Timeout."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is ours, we end it
        )
    except FileNotFoundError as err:
        raise NotFound(f'program "{argv[0]}" not found') from err
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr = await process.communicate(stdin)
    except TimeoutError as err:
        raise Timeout(f"{' '.join(argv)}: not done within {timeout:g} s") from err
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return CommandOutput(process.returncode or 0, stdout, stderr)


def invoked(argv: Sequence[str] | None = None) -> str:
    """Give the path of the program that runs, quoted for a shell: a path that works for root too."""
    program = (argv or sys.argv)[0]
    path = program if os.sep in program else shutil.which(program) or program
    return shlex.quote(os.path.abspath(path))  # noqa: PTH100 — a link in a folder of programs is fine as it is
