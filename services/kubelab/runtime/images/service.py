"""Images for the CRI and for `kubelab image`: list, status, pull, remove, load, build. Files are a thread's work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from kubelab.apimachinery import references
from kubelab.apimachinery.clock import Clock
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.rpc.runtime.v1 import images_pb2, images_pb2_grpc
from kubelab.runtime.build.builder import Builder
from kubelab.runtime.build.service import serve
from kubelab.runtime.errors import CRIError, code_of
from kubelab.runtime.host.hostnetwork import host_network
from kubelab.runtime.images import archive, registry
from kubelab.runtime.images.store import Image, Store
from kubelab.runtime.oci.limits import Limits
from kubelab.runtime.threads import in_thread

PULLS = 16  # at once; a registry that does not answer holds one up for a minute
Context = grpc.aio.ServicerContext[Any, Any]


class Images:
    def __init__(self, store: Store, clock: Clock, limits: Limits) -> None:
        self._store, self._clock, self._limits = store, clock, limits
        self._pulls: dict[str, asyncio.Lock] = {}
        self._pullers = ThreadPoolExecutor(PULLS, "pull")  # of their own: containers are made meanwhile

    async def list(self, name: str) -> list[cri.Image]:
        """Every image, or the one of that name."""
        if name:
            image = self.status(name)
            return [image] if image else []
        return [_to_cri(image) for image in await asyncio.to_thread(self._store.images)]

    def status(self, name: str) -> cri.Image | None:
        """None when it is not here; CRIError INVALID_ARGUMENT for what is no name."""
        try:
            image = self._store.find(name)
        except references.BadReference as err:
            raise _no_name(name, err) from err
        return _to_cri(image) if image else None

    async def pull(self, name: str, auth: cri.AuthConfig) -> str:
        """Bring an image in from its registry; one pull of a name at a time. CRIError NOT_FOUND, UNAVAILABLE."""
        try:
            reference = references.parse(name)
        except references.BadReference as err:
            raise _no_name(name, err) from err
        login = (auth.username, auth.password) if auth.username else None
        async with self._pulls.setdefault(str(reference), asyncio.Lock()):
            try:
                source = registry.Registry(reference, self._clock, login, self._limits)
                image = await asyncio.get_running_loop().run_in_executor(self._pullers, _pull, source, self._store)
            except registry.PullError as err:
                code = grpc.StatusCode.NOT_FOUND if err.missing else grpc.StatusCode.UNAVAILABLE
                raise CRIError(str(err), code) from err
        return image.id

    async def remove(self, name: str) -> None:
        """Nothing there is no error."""
        try:
            await asyncio.to_thread(self._store.remove, name)
        except references.BadReference as err:
            raise _no_name(name, err) from err

    async def used(self) -> tuple[str, int]:
        """Where images lie, and how many bytes they take."""
        return str(self._store.root), await asyncio.to_thread(self._store.used_bytes)


def _pull(source: registry.Registry, store: Store) -> Image:
    with host_network():
        return source.pull(store)


def _no_name(name: str, err: references.BadReference) -> CRIError:
    """containerd's words."""
    return CRIError(f'failed to parse image reference "{name}": {err}', grpc.StatusCode.INVALID_ARGUMENT)


def _to_cri(image: Image) -> cri.Image:
    names = [references.parse(name) for name in image.names if not name.startswith("sha256:")]
    user = str(image.process.get("User") or "").partition(":")[0]
    numeric = user.isdecimal() and len(user) <= 10  # of 32 bits
    pulled = [name for name in names if name.digest]  # under the digest that their registry knows them by
    others = {name.name for name in names} - {name.name for name in pulled}
    return cri.Image(
        id=image.id,
        repo_tags=[str(name) for name in names if name.tag],
        repo_digests=[*map(str, pulled), *(f"{name}@{image.digest}" for name in sorted(others))],
        size=image.size,
        uid=cri.Int64Value(value=int(user)) if numeric else None,
        username="" if numeric else user,
        spec=cri.ImageSpec(image=image.id),
    )


class ImageStoreServicer(images_pb2_grpc.ImageStoreServicer):
    """Loading and building, with what is sent kept in files of the store's own file system."""

    def __init__(self, store: Store, builder: Builder, limits: Limits) -> None:
        self._store, self._builder, self._limits = store, builder, limits

    async def Load(self, request_iterator: AsyncIterable[images_pb2.LoadRequest], context: Context) -> Any:
        try:
            async with in_thread(self._store.scratch()) as folder:
                chunks = (request.chunk async for request in request_iterator)
                await _receive(chunks, folder / "archive.tar", self._limits.bytes)
                load = partial(archive.load, self._store, folder / "archive.tar", self._limits)
                names = await asyncio.to_thread(load)
        except archive.BadArchive as err:
            raise CRIError(str(err), grpc.StatusCode.INVALID_ARGUMENT) from err
        except OSError as err:
            with contextlib.suppress(OSError):  # what is placed already, now that no load or pull is under way
                await asyncio.to_thread(self._store.recover)
            raise _trouble("failed to load the archive", err) from err
        return images_pb2.LoadResponse(names=names)

    async def Build(
        self, request_iterator: AsyncIterable[images_pb2.BuildRequest], context: Context
    ) -> AsyncGenerator[images_pb2.BuildProgress]:
        build = serve(self._store, self._builder, request_iterator, self._limits)
        async with contextlib.aclosing(build) as messages:
            async for progress in messages:
                yield progress


def _trouble(what: str, err: OSError) -> CRIError:
    """The machine cannot go on: its disk is full, most times."""
    return CRIError(f"{what}: {err.strerror or err}", code_of(err))


async def _receive(chunks: AsyncIterable[bytes], path: Path, limit: int) -> None:
    """Keep what a client sends; CRIError INVALID_ARGUMENT beyond ``limit`` bytes."""
    with path.open("wb") as target:
        async for chunk in chunks:
            await asyncio.to_thread(target.write, chunk)
            if target.tell() > limit:
                raise CRIError(
                    f"larger than the {limit} bytes that an image may have", grpc.StatusCode.INVALID_ARGUMENT
                )
