"""Docker by its own program: each call has a deadline, and a failure becomes an ApiError with docker's message.

The program knows contexts, remote daemons and logins; kubelab sees what ``docker ps`` shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast

from kubelab.apimachinery.errors import InternalError, NotFound, Unavailable
from kubelab.cluster.driver import CommandOutput
from kubelab.cluster.programs import run_command

PROGRAM = "docker"
CALL_SECONDS = 30.0
ASK_SECONDS = 10.0
CHUNK = 64 * 1024
MINIMUM = (20, 10)
INSTALL = "install Docker Engine (https://docs.docker.com/engine/install/), or type: sudo apt-get install docker.io"
DOCKER_HOST = "DOCKER_HOST"


class Docker:
    """One daemon: ``host`` as in ``DOCKER_HOST``, empty for the program's own choice."""

    def __init__(self, host: str = "", *, environment: Mapping[str, str] = os.environ) -> None:
        self.host = host
        self.environment = {**environment, **({DOCKER_HOST: host} if host else {})}

    async def call(self, *arguments: str, stdin: bytes = b"", timeout: float = CALL_SECONDS) -> bytes:
        """Run ``docker ARGUMENTS`` and give what it printed. Unavailable: no docker here; InternalError: its words."""
        done = await self.run(*arguments, stdin=stdin, timeout=timeout)
        if done.code:
            raise await self.failure(arguments, done.stderr)
        return done.stdout

    async def run(self, *arguments: str, stdin: bytes = b"", timeout: float = CALL_SECONDS) -> CommandOutput:
        """The same, for any exit code."""
        try:
            return await run_command([PROGRAM, *arguments], stdin=stdin, timeout=timeout, environment=self.environment)
        except NotFound as err:
            raise Unavailable(f'the program "{PROGRAM}" is not installed; {INSTALL}') from err

    async def inspect(self, ids: Sequence[str], kind: str = "container") -> list[Any]:
        """Look at several things at once; those that are gone are left out."""
        command = ("inspect", "--type", kind, *ids)
        done = await self.run(*command)
        objects = cast(list[Any], json.loads(done.stdout) if done.stdout.strip() else [])
        if done.code and not objects:
            raise await self.failure(command, done.stderr)
        return objects

    async def chunks(self, *arguments: str) -> AsyncGenerator[bytes]:
        """Run a command that goes on, and yield what it prints as it comes; it ends with the generator."""
        try:
            process = await asyncio.create_subprocess_exec(
                PROGRAM,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,  # Ctrl-C is ours, we end it
            )
        except FileNotFoundError as err:
            raise Unavailable(f'the program "{PROGRAM}" is not installed; {INSTALL}') from err
        assert process.stdout is not None
        try:
            while chunk := await process.stdout.read(CHUNK):
                yield chunk
            await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    # Process.kill() would poll the process first, and take its exit code from the waiting task.
                    os.kill(process.pid, signal.SIGKILL)
                await process.wait()

    async def failure(self, arguments: Sequence[str], stderr: bytes) -> Unavailable | InternalError:
        """Say why a command failed: Unavailable when no daemon answers at all."""
        message = stderr.decode(errors="replace").strip() or "failed without a word"
        version = await self.run("version", "--format", "{{.Server.Version}}", timeout=ASK_SECONDS)
        if version.code:
            words = _first_line(version.stderr) or "Cannot connect to the Docker daemon."
            return Unavailable(f"{words}\nStart Docker (sudo systemctl start docker), or set {DOCKER_HOST}.")
        return InternalError(f"docker {arguments[0]}: {message}")

    async def check(self) -> Mapping[str, Any]:
        """Raise Unavailable unless a daemon answers that is new enough; gives what it says of itself."""
        done = await self.run("version", "--format", "{{json .Server}}", timeout=ASK_SECONDS)
        if done.code:
            raise await self.failure(("version",), done.stderr)
        server = cast(dict[str, Any], json.loads(done.stdout))
        version = str(server.get("Version", ""))
        if version_of(version) < MINIMUM:
            minimum = ".".join(map(str, MINIMUM))
            raise Unavailable(
                f"Docker {version or '(nameless)'} is too old: kubelab needs {minimum} or newer; {INSTALL}"
            )
        return server


def version_of(text: str) -> tuple[int, ...]:
    """``20.10.24+dfsg1`` → (20, 10); empty for what is no version."""
    match = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else ()


def _first_line(text: bytes) -> str:
    return next(iter(text.decode(errors="replace").strip().splitlines()), "")
