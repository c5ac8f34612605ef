"""``kctl cp``: files to and from containers, by their own ``tar``."""

from __future__ import annotations

import asyncio
import os
import posixpath
import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.command import Command
from kubelab.kctl.flags import Flag
from kubelab.kctl.remotecommand import streams, target
from kubelab.kctl.remotecommand.filespecs import FileSpec, member_prefix, pair
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class CpOptions:
    container: str
    no_preserve: bool
    retries: int


def _cp(session: Session, args: tuple[str, ...], options: CpOptions) -> int:
    source, destination = pair(args)
    if not source.pod and not Path(source.file).exists():
        raise Failed(escaped(f"error: {source.file} doesn't exist in local filesystem"))
    spec = source if source.pod else destination
    base = Path(source.file).absolute().name

    async def run(client: Client) -> int:
        namespace = spec.namespace or session.namespace
        pod = await target.running_pod(client, spec.pod, namespace, 1.0, session.clock, "exec into")
        container = target.container_of(pod, options.container).name
        place = _Place(client, namespace, spec.pod, container)
        if source.pod:
            return await _Download(place, source.file, Path(destination.file), options.retries).run()
        return await _upload(place, Path(source.file), base, destination, no_preserve=options.no_preserve)

    return session.run(run, endless=True)


@dataclass(frozen=True, slots=True)
class _Place:
    """A container, and commands in it."""

    client: Client
    namespace: str
    pod: str
    container: str

    async def run(self, command: Sequence[str], stdin: int = -1, stdout: int = -1, *, quiet: bool = False) -> int:
        """Run a command with these descriptors as its stdin and stdout, which are closed here; gives its exit code.

        ``quiet``: nothing of what it prints is shown.
        """
        from kubelab.api.core.v1 import core_pb2

        asked = core_pb2.PodExecOptions(
            container=self.container, command=command, stdin=stdin >= 0, stdout=True, stderr=True
        )
        try:
            called = await self.client.exec(self.namespace, self.pod, asked)
        except BaseException:
            _close(stdin, stdout)
            raise
        async with aclosing(streams.copied(called, stdin, stdout)) as rest:
            async for output in rest:
                if output.stderr and not quiet:
                    print(escaped(output.stderr.decode("utf-8", "replace")), end="", file=sys.stderr)
                if output.HasField("status"):
                    return streams.exit_code(output.status, quiet=quiet)
        raise Failed("error: the connection to the container was lost")


def _close(*fds: int) -> None:
    for fd in fds:
        if fd >= 0:
            os.close(fd)


async def _upload(place: _Place, source: Path, base: str, destination: FileSpec, *, no_preserve: bool) -> int:
    """Copy a file or a folder; into a folder of the container it comes with its own name, ``base``."""
    from kubelab.kctl.remotecommand import tarring

    to = destination.file.rstrip("/") or "/"
    if await place.run(["test", "-d", to], quiet=True) == 0:
        to = posixpath.join(to, base)
    folder, name = posixpath.split(to)
    command = ["tar", *(["--no-same-permissions", "--no-same-owner"] if no_preserve else []), "-xmf", "-"]
    command += ["-C", folder] if folder else []
    reading, writing = os.pipe2(os.O_CLOEXEC)

    def pack() -> None:
        with os.fdopen(writing, "wb") as file:
            try:
                tarring.pack(source, name, file)
            except BrokenPipeError:  # the command has ended, and says why
                return

    packing = asyncio.ensure_future(asyncio.to_thread(pack))
    try:
        return await place.run(command, stdin=reading)
    finally:
        await packing


class _Download:
    """A file or a folder of a container. After a connection that broke it begins again, ``retries`` times."""

    def __init__(self, place: _Place, path: str, to: Path, retries: int) -> None:
        self._place, self._path, self._to, self._retries = place, path, to, retries

    async def run(self) -> int:
        from kubelab.apimachinery.errors import ApiError

        attempt = 0
        while True:
            try:
                return await self._once()
            except (ConnectionError, ApiError) as err:
                if self._retries >= 0 and attempt >= self._retries:
                    if not self._retries:
                        raise Failed(f"error: {escaped(str(err))}") from err
                    raise Failed(f"error: dropping out copy after {self._retries} retries") from err
                attempt += 1
                tries = f"{attempt}/{self._retries}" if self._retries > 0 else str(attempt)
                print(f"Resuming copy from the beginning, retry {tries}", file=sys.stderr)

    async def _once(self) -> int:
        from kubelab.kctl.remotecommand import tarring

        reading, writing = os.pipe2(os.O_CLOEXEC)
        place = self._place
        hint = f'consider using "kctl exec -n "{place.namespace}" "{place.pod}" -- tar cf - "{self._path}" | tar xf -"'
        to = self._to / posixpath.basename(self._path.rstrip("/")) if self._to.is_dir() else self._to

        def unpack() -> int:
            with os.fdopen(reading, "rb") as file:
                return tarring.unpack(file, member_prefix(self._path), to, hint, _warn)

        unpacking = asyncio.ensure_future(asyncio.to_thread(unpack))
        code = 1
        try:
            code = await place.run(["tar", "cf", "-", self._path], stdout=writing)
        finally:
            await _settled(unpacking, ignored=code != 0)
        return code


async def _settled(unpacking: asyncio.Future[int], *, ignored: bool) -> None:
    """Wait for the other end of a tar; half of one is no error of its own where the command has failed."""
    import tarfile

    try:
        await unpacking
    except tarfile.TarError as err:
        if not ignored:
            raise Failed(f"error: {escaped(str(err))}") from err


def _warn(text: str) -> None:
    print(escaped(text), file=sys.stderr)


CP = Command(
    "cp",
    run=_cp,
    options=CpOptions,
    flags=(
        target.CONTAINER,
        Flag(
            "--no-preserve",
            kind="bool",
            help="The copied file/directory's ownership and permissions will not be preserved in the container",
        ),
        Flag(
            "--retries",
            kind="int",
            default=0,
            help="Set number of retries to complete a copy operation from a container. Specify 0 to disable or any "
            "negative value for infinite retrying. The default is 0 (no retry).",
        ),
    ),
    about="Copy files and directories to and from containers.",
    examples="""\
# !!!Important Note!!!
# Requires that the 'tar' binary is present in your container
# image.  If 'tar' is not present, 'kctl cp' will fail.

# Copy /tmp/foo_dir local directory to /tmp/bar_dir in a remote pod in the default namespace
kctl cp /tmp/foo_dir <some-pod>:/tmp/bar_dir

# Copy /tmp/foo local file to /tmp/bar in a remote pod in a specific container
kctl cp /tmp/foo <some-pod>:/tmp/bar -c <specific-container>

# Copy /tmp/foo local file to /tmp/bar in a remote pod in namespace <some-namespace>
kctl cp /tmp/foo <some-namespace>/<some-pod>:/tmp/bar

# Copy /tmp/foo from a remote pod to /tmp/bar locally
kctl cp <some-namespace>/<some-pod>:/tmp/foo /tmp/bar""",
    usage="kctl cp <file-spec-src> <file-spec-dest>",
)
