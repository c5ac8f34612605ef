"""``kubelab image``: bring images into the cluster without a registry, list and remove them.

The nodes of a local cluster share one image store; where each has its own, every one of them is given the same.
"""

from __future__ import annotations

import asyncio
import copy
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click
import grpc

from kubelab.apimachinery.errors import ApiError, NotFound
from kubelab.apimachinery.terminal import escaped
from kubelab.cli import imagebuild, output
from kubelab.cli.buildcontext import size_text
from kubelab.cli.options import cluster_option
from kubelab.cli.stores import stores as open_stores
from kubelab.cli.stores import translated
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.cri.runtime.v1 import api_pb2_grpc as cri_grpc
from kubelab.rpc.runtime.v1 import images_pb2 as pb
from kubelab.rpc.runtime.v1 import images_pb2_grpc

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


for _alias, _known in (("list", ls), ("remove", rm), ("unload", rm)):  # minikube's other words
    _hidden = copy.copy(_known)
    _hidden.name, _hidden.hidden = _alias, True
    command.add_command(_hidden)


@command.command("push")
@click.argument("image")
@cluster_option
def push(image: str, name: str) -> int:
    """Say where an image is: what is built or loaded is where the nodes look for it, so nothing has to be pushed."""
    return asyncio.run(_push(image, name))


command.add_command(imagebuild.command)


async def _push(image: str, name: str) -> int:
    async with open_stores(name) as stores:
        for store in stores:
            stub: Any = cri_grpc.ImageServiceStub(store)
            request = cri.ImageStatusRequest(image=cri.ImageSpec(image=image))
            with translated():
                answer = await stub.ImageStatus(request, timeout=QUICK_SECONDS)
            if not answer.HasField("image"):
                raise NotFound(f"An image does not exist locally with the tag: {image}")
    click.echo(f"{escaped(image)} is where every node looks for it; nothing has to be pushed")
    return 0


async def _load(file: BinaryIO, name: str) -> int:
    async with open_stores(name) as stores:
        names = await _load_into(file, stores)
    for image in names:
        click.echo(loaded(image))
    return 0


def loaded(image: str) -> str:
    """docker's line for an image that was loaded, by its name or, where it has none, by its id."""
    image = escaped(image)
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
    with translated():
        return (await stub.Load(requests(), timeout=LONG_SECONDS)).names


async def _list(quiet: bool, name: str) -> int:
    lines: set[tuple[str, str, str, str]] = set()
    async with open_stores(name) as stores:
        for store in stores:
            stub: Any = cri_grpc.ImageServiceStub(store)
            with translated():
                answer: cri.ListImagesResponse = await stub.ListImages(cri.ListImagesRequest(), timeout=QUICK_SECONDS)
            lines.update(row for image in answer.images for row in _rows(image))
    rows = sorted(lines)
    if quiet:
        click.echo("\n".join(row[2] if row[1] == NONE else escaped(f"{row[0]}:{row[1]}") for row in rows))
    else:
        click.echo(output.table(("IMAGE", "TAG", "IMAGE ID", "SIZE"), rows))
    return 0


def _rows(image: cri.Image) -> Iterator[tuple[str, str, str, str]]:
    untagged = {f"{digest.partition('@')[0]}:{NONE}" for digest in image.repo_digests}
    for tag in image.repo_tags or sorted(untagged) or (f"{NONE}:{NONE}",):
        repository, _, version = tag.rpartition(":")
        yield repository, version, image.id.removeprefix("sha256:")[:13], size_text(image.size)


async def _remove(images: tuple[str, ...], name: str) -> int:
    failed = False
    async with open_stores(name) as stores:
        for image in images:
            try:
                if not [True for store in stores if await _remove_from(store, image)]:
                    raise NotFound(f"No such image: {image}")
            except ApiError as err:
                click.echo(f"error: {escaped(str(err))}", err=True)
                failed = True
            else:
                click.echo(f"Deleted: {image}")
    return 1 if failed else 0


async def _remove_from(store: grpc.aio.Channel, image: str) -> bool:
    """Remove an image; False when it was not there."""
    stub: Any = cri_grpc.ImageServiceStub(store)
    spec = cri.ImageSpec(image=image)
    with translated():
        answer = await stub.ImageStatus(cri.ImageStatusRequest(image=spec), timeout=QUICK_SECONDS)
        if not answer.HasField("image"):
            return False
        await stub.RemoveImage(cri.RemoveImageRequest(image=spec), timeout=QUICK_SECONDS)
    return True
