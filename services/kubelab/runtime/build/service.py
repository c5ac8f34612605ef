"""The Build call of the image store: takes the plan and the context, tells how the build goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from pathlib import Path
from typing import IO

import grpc

from kubelab.apimachinery.errors import encodable
from kubelab.runtime.images import layers
from kubelab.runtime.build.builder import Builder, Built, Plan
from kubelab.runtime.build.errors import BuildError, MachineError
from kubelab.runtime.errors import CRIError
from kubelab.runtime.oci.limits import Budget, Limits
from kubelab.runtime.images.store import Store
from kubelab.runtime.threads import in_thread
from kubelab.rpc.runtime.v1 import images_pb2


async def serve(
    store: Store, builder: Builder, requests: AsyncIterable[images_pb2.BuildRequest], limits: Limits
) -> AsyncGenerator[images_pb2.BuildProgress]:
    """Build what is asked for. CRIError: INVALID_ARGUMENT for what the caller can mend, else RESOURCE_EXHAUSTED."""
    try:
        async with in_thread(store.scratch()) as folder:
            received = aiter(requests)
            plan = await _plan(received)
            await _receive(received, folder / "context.tar", limits.bytes)
            root = folder / "context"
            root.mkdir()
            await asyncio.to_thread(_unpack, folder / "context.tar", root, limits)
            async with aclosing(builder.build(plan, root)) as build:
                async for message in build:
                    if isinstance(message, Built):
                        yield images_pb2.BuildProgress(image_id=message.image_id)
                    else:
                        yield images_pb2.BuildProgress(line=encodable(message))
    except MachineError as err:
        raise CRIError(str(err), grpc.StatusCode.RESOURCE_EXHAUSTED) from err
    except BuildError as err:
        raise CRIError(str(err), grpc.StatusCode.INVALID_ARGUMENT) from err
    except OSError as err:  # a full disk
        raise CRIError(f"failed to build: {err.strerror or err}", grpc.StatusCode.RESOURCE_EXHAUSTED) from err


async def _plan(requests: AsyncIterable[images_pb2.BuildRequest]) -> Plan:
    first = await anext(aiter(requests), None)
    if first is None or not first.HasField("plan"):
        raise BuildError("the first message has to be the plan")
    request_plan = first.plan
    return Plan(
        dockerfile=request_plan.dockerfile,
        path=request_plan.dockerfile_path or "Dockerfile",
        tags=list(request_plan.tags),
        arguments=dict(request_plan.build_args),
        bases=dict(request_plan.bases),
        target=request_plan.target,
        platform=request_plan.platform,
        network=request_plan.network,
        allow=list(request_plan.allow),
        secrets=dict(request_plan.secrets),
        fresh=request_plan.no_cache,
    )


async def _receive(requests: AsyncIterable[images_pb2.BuildRequest], path: Path, limit: int) -> None:
    """Keep the context as it comes; BuildError when it is too large."""
    size = 0
    with path.open("wb") as target:
        async for request in requests:
            size += len(request.context_chunk)
            if size > limit:
                raise BuildError(f"the build context is larger than {limit} bytes: exclude files in .dockerignore")
            await asyncio.to_thread(target.write, request.context_chunk)


def _unpack(path: Path, root: Path, limits: Limits) -> None:
    content: IO[bytes]
    with path.open("rb") as content:
        if content.read(1):
            content.seek(0)
            try:
                layers.unpack(content, root, Budget(limits), whiteouts=False)
            except layers.BadLayer as err:
                raise BuildError(f"the build context: {err}") from err
    path.unlink()
