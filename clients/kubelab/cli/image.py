"""``kubelab image``: bring images into the cluster without a registry, list and remove them.

The nodes of a local cluster share one image store; where each has its own, every one of them is given the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click
import grpc

from kubelab.apimachinery.errors import ApiError, InternalError, NotFound
from kubelab.cli import buildcontext, output
from kubelab.cli.options import cluster_option
from kubelab.client.transport import translate
from kubelab.cluster.find import using_cluster
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.cri.runtime.v1 import api_pb2_grpc as cri_grpc
from kubelab.runtime.v1 import images_pb2 as pb
from kubelab.runtime.v1 import images_pb2_grpc

CHUNK = 1024 * 1024
QUICK_SECONDS = 30.0
NONE = "<none>"  # docker's word for an image without a name, or without a tag
LONG_SECONDS = 1800.0  # a build runs what its Dockerfile says


@click.group("image", short_help="Load, build, list and remove images")
def command() -> None:
    """Load, build, list and remove images. The nodes of a cluster share them."""


@command.command("load")
@click.argument("archive", metavar="FILE|-")
@cluster_option
def load(archive: str, name: str) -> int:
    """Load an archive of `docker save` or of any other tool: a Docker archive or an OCI image layout, as tar, also
    compressed; `-` is the standard input."""
    if archive == "-":
        return asyncio.run(_load(sys.stdin.buffer, name))
    try:
        file = Path(archive).open("rb")  # noqa: SIM115 — closed below
    except IsADirectoryError as err:
        hint = f"`tar -C {archive} -cf - . | kubelab image load -` packs and loads an OCI image layout"
        raise click.ClickException(f"open {archive}: {err.strerror}; {hint}") from err
    except OSError as err:
        raise click.ClickException(f"open {archive}: {err.strerror}") from err
    with file:
        return asyncio.run(_load(file, name))


@command.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="only the names, or the id of an image without a tag")
@cluster_option
def ls(quiet: bool, name: str) -> int:
    """List the images."""
    return asyncio.run(_list(quiet, name))


@command.command("rm")
@click.argument("images", nargs=-1, required=True)
@cluster_option
def rm(images: tuple[str, ...], name: str) -> int:
    """Remove images."""
    return asyncio.run(_remove(images, name))


@command.command("build")
@click.option("-t", "--tag", "tags", multiple=True, required=True, help="the image's name, NAME[:TAG]")
@click.option("-f", "--file", "dockerfile", type=click.Path(path_type=Path), help="default: CONTEXT/Dockerfile")
@click.option("--base", "bases", multiple=True, metavar="FROM=IMAGE", help="put another image in the place of a FROM")
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="the value of an ARG")
@click.argument("context", type=click.Path(path_type=Path))
@cluster_option
def build(
    tags: tuple[str, ...],
    dockerfile: Path | None,
    bases: tuple[str, ...],
    build_args: tuple[str, ...],
    context: Path,
    name: str,
) -> int:
    """Build an image from a Dockerfile and the files of the folder CONTEXT."""
    if not context.is_dir():
        raise click.ClickException(f"unable to prepare context: path {str(context)!r} not found")
    path = dockerfile or context / "Dockerfile"
    try:
        text = path.read_text()
    except OSError as err:
        raise click.ClickException(f"failed to read Dockerfile: {path}: {err.strerror}") from err
    plan = pb.BuildRequest.Plan(
        dockerfile=text,
        dockerfile_path=str(path),
        tags=tags,
        build_args=_pairs("--build-arg", build_args),
        bases=_pairs("--base", bases),
    )
    return asyncio.run(_build(plan, context, path, name))


def _pairs(option: str, told: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in told:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise click.UsageError(f"{option}: expected NAME=VALUE, got {pair!r}")
        found[key] = value
    return found


async def _load(file: BinaryIO, name: str) -> int:
    async with _stores(name) as stores:
        names = await _load_into(file, stores)
    for image in names:
        click.echo(loaded(image))
    return 0


def loaded(image: str) -> str:
    """docker's line for an image that was loaded, by its name or, where it has none, by its id."""
    return f"Loaded image ID: {image}" if image.startswith("sha256:") else f"Loaded image: {image}"


async def _load_into(file: BinaryIO, stores: Sequence[grpc.aio.Channel]) -> Sequence[str]:
    """Read an archive once and send it to every store; gives the images' names."""
    queues = [asyncio.Queue[bytes](maxsize=2) for _ in stores]
    try:
        async with asyncio.TaskGroup() as group:
            loads = [
                group.create_task(_load_one(store, queue), name="load")
                for store, queue in zip(stores, queues, strict=True)
            ]
            chunk = b"-"
            while chunk:
                chunk = await asyncio.to_thread(file.read, CHUNK)
                for queue in queues:
                    await queue.put(chunk)
    except ExceptionGroup as errs:
        raise errs.exceptions[0] from errs
    return loads[0].result()


async def _load_one(store: grpc.aio.Channel, queue: asyncio.Queue[bytes]) -> Sequence[str]:
    async def requests() -> AsyncIterator[pb.LoadRequest]:
        while chunk := await queue.get():
            yield pb.LoadRequest(chunk=chunk)

    stub: Any = images_pb2_grpc.ImageStoreStub(store)
    with _translated():
        return (await stub.Load(requests(), timeout=LONG_SECONDS)).names


async def _list(quiet: bool, name: str) -> int:
    found: set[tuple[str, str, str, str]] = set()
    async with _stores(name) as stores:
        for store in stores:
            stub: Any = cri_grpc.ImageServiceStub(store)
            with _translated():
                answer: cri.ListImagesResponse = await stub.ListImages(cri.ListImagesRequest(), timeout=QUICK_SECONDS)
            found.update(row for image in answer.images for row in _rows(image))
    rows = sorted(found)
    if quiet:
        click.echo("\n".join(row[2] if row[1] == NONE else f"{row[0]}:{row[1]}" for row in rows))
    else:
        click.echo(output.table(("IMAGE", "TAG", "IMAGE ID", "SIZE"), rows))
    return 0


def _rows(image: cri.Image) -> Iterator[tuple[str, str, str, str]]:
    untagged = {f"{digest.partition('@')[0]}:{NONE}" for digest in image.repo_digests}
    for tag in image.repo_tags or sorted(untagged) or (f"{NONE}:{NONE}",):
        repository, _, version = tag.rpartition(":")
        yield repository, version, image.id.removeprefix("sha256:")[:13], size_text(image.size)


def size_text(size: int) -> str:
    """Give a size as crictl does: ``1.45MB``, in powers of a thousand with three digits."""
    number, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while number >= 1000 and len(units) > 1:
        number, units = number / 1000, units[1:]
    return f"{number:.3g}{units[0]}"


async def _remove(images: tuple[str, ...], name: str) -> int:
    failed = False
    async with _stores(name) as stores:
        for image in images:
            try:
                if not [True for store in stores if await _remove_from(store, image)]:
                    raise NotFound(f"No such image: {image}")
            except ApiError as err:
                click.echo(f"error: {err}", err=True)
                failed = True
            else:
                click.echo(f"Deleted: {image}")
    return 1 if failed else 0


async def _remove_from(store: grpc.aio.Channel, image: str) -> bool:
    """Remove an image; False when it was not there."""
    stub: Any = cri_grpc.ImageServiceStub(store)
    spec = cri.ImageSpec(image=image)
    with _translated():
        answer = await stub.ImageStatus(cri.ImageStatusRequest(image=spec), timeout=QUICK_SECONDS)
        if not answer.HasField("image"):
            return False
        await stub.RemoveImage(cri.RemoveImageRequest(image=spec), timeout=QUICK_SECONDS)
    return True


async def _build(plan: pb.BuildRequest.Plan, context: Path, dockerfile: Path, name: str) -> int:
    async with _stores(name) as stores:
        image_id = await _build_in(stores[0], plan, context, dockerfile, click.echo)
        for n, store in enumerate(stores[1:], 2):
            click.echo(f"Building again in image store {n} of {len(stores)}")
            await _build_in(store, plan, context, dockerfile, lambda _: None)
    click.echo(f"Successfully built {image_id.removeprefix('sha256:')[:12]}")
    for tag in plan.tags:
        click.echo(f"Successfully tagged {tag if ':' in tag.rpartition('/')[2] else tag + ':latest'}")
    return 0


async def _build_in(
    store: grpc.aio.Channel, plan: pb.BuildRequest.Plan, context: Path, dockerfile: Path, tell: Callable[[str], None]
) -> str:
    """Build in one store; gives the image's id."""
    image_id = ""
    stub: Any = images_pb2_grpc.ImageStoreStub(store)
    with _translated():
        async for progress in stub.Build(_plan_then_context(plan, context, dockerfile), timeout=LONG_SECONDS):
            if progress.line:
                tell(progress.line)
            image_id = progress.image_id or image_id
    if not image_id:
        raise InternalError("the build ended without an image")
    return image_id


async def _plan_then_context(
    plan: pb.BuildRequest.Plan, context: Path, dockerfile: Path
) -> AsyncIterator[pb.BuildRequest]:
    yield pb.BuildRequest(plan=plan)
    chunks = buildcontext.tar_chunks(context, dockerfile, CHUNK)
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        if chunk:
            yield pb.BuildRequest(context_chunk=chunk)


@contextlib.asynccontextmanager
async def _stores(name: str) -> AsyncGenerator[list[grpc.aio.Channel]]:
    """Open a runtime of each image store, the first node's first."""
    async with using_cluster(name) as cluster, contextlib.AsyncExitStack() as stack:
        by_store = {node.image_store: node.name for node in reversed(await cluster.nodes())}
        channels: list[grpc.aio.Channel] = []
        for node in reversed(by_store.values()):
            channel = await cluster.runtime_channel(node)
            stack.push_async_callback(channel.close)
            channels.append(channel)
        yield channels


@contextlib.contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as rpc:
        raise translate(rpc) from rpc
