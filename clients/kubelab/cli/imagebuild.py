"""``kubelab image build``: an image from a Dockerfile and a context, with docker's words and options."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click
import grpc

from kubelab.apimachinery.errors import InternalError
from kubelab.cli import buildcontext
from kubelab.cli.buildcontext import size_text
from kubelab.cli.options import cluster_option
from kubelab.cli.stores import stores as open_stores
from kubelab.cli.stores import translated
from kubelab.rpc.runtime.v1 import images_pb2 as pb
from kubelab.rpc.runtime.v1 import images_pb2_grpc

CHUNK = 1024 * 1024
LONG_SECONDS = 1800.0  # a build runs what its Dockerfile says
LARGE = 500_000_000  # bytes of a context that people may not know they send
MAX_DOCKERFILE = 1 << 20
MAX_SECRET = 64 * 1024
DEFAULT = "Dockerfile"
_COLOURS = re.compile(r"(\x1b\[[0-9;]*m)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Source:
    """The input of a build. ``chunks`` returns the context as tar, each time from its beginning."""

    dockerfile: str
    path: str
    chunks: Callable[[], Iterator[bytes]]


@click.command("build", short_help="Build an image from a Dockerfile")
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME[:TAG]", help="the image's name; several are possible")
@click.option("-f", "--file", "dockerfile", metavar="FILE|-", help="default: CONTEXT/Dockerfile")
@click.option("--target", default="", metavar="STAGE", help="the stage that is the image; default: the last one")
@click.option("--base", "bases", multiple=True, metavar="FROM=IMAGE", help="put another image in the place of a FROM")
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME[=VALUE]", help="the value of an ARG")
@click.option(
    "--secret", "secrets", multiple=True, metavar="id=ID[,src=FILE|,env=VAR]", help="for RUN --mount=type=secret"
)
@click.option("--no-cache", is_flag=True, help="run every step again")
@click.option("--platform", default="", metavar="OS/ARCH", help="has to be this machine's own")
@click.option(
    "--network",
    type=click.Choice(["default", "none", "host"]),
    default="default",
    help="what RUN steps have by default",
)
@click.option("--allow", multiple=True, metavar="network.host", help="what the Dockerfile may ask for")
@click.option("-q", "--quiet", is_flag=True, help="print only the image's id")
@click.argument("context", metavar="CONTEXT|-")
@cluster_option
def command(context: str, name: str, quiet: bool, **flags: Any) -> int:
    """Build an image from a Dockerfile and the files of the folder CONTEXT. `-` is the standard input: a tar archive
    of a context, or a Dockerfile alone."""
    bases, secrets = pairs("--base", flags["bases"]), dict(read_secret(text) for text in flags["secrets"])
    build_args = pairs("--build-arg", flags["build_args"], from_environment=True)
    with ExitStack() as opened:
        source = _source(context, flags["dockerfile"], opened, quiet=quiet)
        plan = pb.BuildRequest.Plan(
            dockerfile=source.dockerfile,
            dockerfile_path=source.path,
            tags=flags["tags"],
            build_args=build_args,
            bases=bases,
            target=flags["target"],
            platform=flags["platform"],
            no_cache=flags["no_cache"],
            network=flags["network"],
            allow=flags["allow"],
            secrets=secrets,
        )
        return asyncio.run(_build(plan, source, name, quiet=quiet))


def pairs(option: str, words: tuple[str, ...], *, from_environment: bool = False) -> dict[str, str]:
    """``NAME=VALUE``; with ``from_environment`` a NAME alone has the environment's value, or none. UsageError."""
    values: dict[str, str] = {}
    for pair in words:
        key, equals, value = pair.partition("=")
        if not key or not (equals or from_environment):
            raise click.UsageError(f"{option}: expected NAME=VALUE, got {pair!r}")
        if equals:
            values[key] = value
        elif key in os.environ:
            values[key] = os.environ[key]
    return values


def read_secret(text: str) -> tuple[str, bytes]:
    """``id=key,src=key.pem`` or ``id=key,env=KEY``: its id and content. ClickException."""
    fields: dict[str, str] = {}
    for field in text.split(","):
        name, _, value = field.partition("=")
        fields[name] = value
    if unknown := fields.keys() - {"id", "src", "source", "env", "type"}:
        raise click.UsageError(f"--secret: unexpected key {min(unknown)!r} in {text!r}")
    key = fields.get("id", "")
    if not key:
        raise click.UsageError(f"--secret: expected id=ID[,src=FILE|,env=VAR], got {text!r}")
    path = fields.get("src") or fields.get("source") or ""
    variable = fields.get("env") or ("" if path or key not in os.environ else key)
    if variable and not path:
        if variable not in os.environ:
            raise click.ClickException(f"--secret: the variable {variable} is not set")
        content = os.fsencode(os.environ[variable])
    else:
        try:
            content = Path(path or key).read_bytes()
        except OSError as err:
            raise click.ClickException(f"--secret: {path or key}: {err.strerror}") from err
    if len(content) > MAX_SECRET:
        raise click.ClickException(f"--secret: {key} is larger than {MAX_SECRET} bytes")
    return key, content


# --- where it comes from


def _source(context: str, dockerfile: str | None, opened: ExitStack, *, quiet: bool) -> Source:
    if context == "-":
        if dockerfile == "-":
            raise click.UsageError("invalid argument: can't use stdin for both build context and dockerfile")
        return _from_stdin(dockerfile, opened)
    folder = Path(context)
    if not folder.is_dir():
        raise click.ClickException(f"unable to prepare context: path {context!r} not found")
    if dockerfile == "-":
        path, text = None, decode(sys.stdin.buffer.read(MAX_DOCKERFILE + 1), DEFAULT)
    else:
        path = Path(dockerfile) if dockerfile else default_dockerfile(folder)
        text = _read(path)
    patterns = buildcontext.patterns_of(folder, path)
    size = buildcontext.measure(folder, patterns)
    if not quiet:
        click.echo(f"Sending build context: {size_text(size.bytes)}")
        if size.bytes > LARGE:
            click.echo(f"[Warning] The largest: {size.largest()}. What is not needed can be kept out in .dockerignore")
    return Source(text, str(path or DEFAULT), lambda: buildcontext.tar_chunks(folder, patterns, CHUNK))


def default_dockerfile(folder: Path) -> Path:
    """``Dockerfile``, or ``dockerfile`` as docker takes it too."""
    small = folder / DEFAULT.lower()
    return small if small.is_file() and not (folder / DEFAULT).exists() else folder / DEFAULT


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return decode(file.read(MAX_DOCKERFILE + 1), str(path))
    except OSError as err:
        raise click.ClickException(f"failed to read Dockerfile: {path}: {err.strerror}") from err


def _from_stdin(dockerfile: str | None, opened: ExitStack) -> Source:
    """A tar archive, kept in a file while it is used, or a Dockerfile with an empty context."""
    file: IO[bytes] = opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    while data := sys.stdin.buffer.read(CHUNK):
        file.write(data)
    file.seek(0)
    if not buildcontext.is_archive(file.read(512)):
        file.seek(0)
        text = decode(file.read(MAX_DOCKERFILE + 1), DEFAULT)
        if dockerfile:
            raise click.UsageError("-f: a Dockerfile from the standard input comes without files")
        return Source(text, DEFAULT, lambda: iter(()))
    archive = buildcontext.Archive(file)
    path = dockerfile or DEFAULT
    text = archive.read(path)
    if text is None:
        raise click.ClickException(f"failed to read Dockerfile: {path}: it is not in the archive")
    ignore = archive.read(f"{path}{buildcontext.IGNORE_FILE}") or archive.read(buildcontext.IGNORE_FILE)
    patterns = None if ignore is None else buildcontext.read_patterns(ignore, buildcontext.IGNORE_FILE)
    return Source(decode(os.fsencode(text), path), path, lambda: archive.chunks(patterns, CHUNK))


def decode(content: bytes, path: str) -> str:
    """A Dockerfile's text. Comments may have any bytes, all else is UTF-8. ClickException."""
    if len(content) > MAX_DOCKERFILE:
        raise click.ClickException(f"failed to read Dockerfile: {path}: larger than {MAX_DOCKERFILE} bytes")
    lines: list[str] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            if not line.lstrip().startswith(b"#"):
                raise click.ClickException(f"failed to read Dockerfile: {path}:{number}: not UTF-8 text") from None
            lines.append(line.decode(errors="replace"))
    return "\n".join(lines)


# --- building


async def _build(plan: pb.BuildRequest.Plan, source: Source, name: str, *, quiet: bool) -> int:
    print_line = _ignore if quiet else _print_line
    async with open_stores(name) as stores:
        image_id = await _build_in(stores[0], plan, source, print_line)
        for number, store in enumerate(stores[1:], 2):
            print_line(f"Building again in image store {number} of {len(stores)}")
            await _build_in(store, plan, source, _ignore)
    if quiet:
        click.echo(image_id)
        return 0
    click.echo(f"Successfully built {image_id.removeprefix('sha256:')[:12]}")
    for tag in plan.tags:
        click.echo(f"Successfully tagged {tag if ':' in tag.rpartition('/')[2] else tag + ':latest'}")
    return 0


async def _build_in(
    store: grpc.aio.Channel, plan: pb.BuildRequest.Plan, source: Source, print_line: Callable[[str], None]
) -> str:
    """Build in one store; gives the image's id."""
    image_id = ""
    stub: Any = images_pb2_grpc.ImageStoreStub(store)
    with translated():
        async for progress in stub.Build(_requests(plan, source), timeout=LONG_SECONDS):
            if progress.line or not progress.image_id:
                print_line(progress.line)
            image_id = progress.image_id or image_id
    if not image_id:
        raise InternalError("the build ended without an image")
    return image_id


async def _requests(plan: pb.BuildRequest.Plan, source: Source) -> AsyncIterator[pb.BuildRequest]:
    yield pb.BuildRequest(plan=plan)
    chunks = source.chunks()
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        for start in range(0, len(chunk), CHUNK):
            yield pb.BuildRequest(context_chunk=chunk[start : start + CHUNK])


def _ignore(_: str) -> None:
    return None


def _print_line(line: str) -> None:
    click.echo(plain(line) if sys.stdout.isatty() else line)


def plain(line: str) -> str:
    """Escape the output of a step for a terminal: colours stay, other control characters are shown as text. Of a line
    that was written over (``\\r``) the last state is left."""
    parts = _COLOURS.split(line.rstrip("\r").rpartition("\r")[2])
    return "".join(part if number % 2 else _CONTROL.sub(_caret, part) for number, part in enumerate(parts))


def _caret(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"^{chr(code ^ 0x40)}" if code < 0x80 else f"\\x{code:02x}"
