"""The image stores of a cluster: each once, reached through the runtime of a node."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Generator

import grpc

from kubelab.client.transport import translate
from kubelab.cluster.find import using_cluster


@contextlib.asynccontextmanager
async def stores(name: str) -> AsyncGenerator[list[grpc.aio.Channel]]:
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
def translated() -> Generator[None]:
    """Raise the ApiError that a server's status stands for."""
    try:
        yield
    except grpc.aio.AioRpcError as rpc:
        raise translate(rpc) from rpc
