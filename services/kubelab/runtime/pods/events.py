"""Events of containers for every listener: the stream behind GetContainerEvents."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator

from kubelab.cri.runtime.v1 import api_pb2 as cri

BACKLOG = 1000


class Events:
    """Every listener has a queue. One that does not keep up is dropped; it will list again, as after any break."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[cri.ContainerEventResponse | None]] = set()

    def publish(self, event: cri.ContainerEventResponse) -> None:
        for listener in tuple(self._listeners):
            try:
                listener.put_nowait(event)
            except asyncio.QueueFull:
                self._listeners.discard(listener)
                listener.get_nowait()
                listener.put_nowait(None)

    @contextlib.contextmanager
    def listening(self) -> Generator[AsyncGenerator[cri.ContainerEventResponse]]:
        """Every event from now on, also those before the first is asked for; ends when the listener was too slow."""
        queue: asyncio.Queue[cri.ContainerEventResponse | None] = asyncio.Queue(BACKLOG)
        self._listeners.add(queue)
        try:
            yield _drain(queue)
        finally:
            self._listeners.discard(queue)


async def _drain(
    queue: asyncio.Queue[cri.ContainerEventResponse | None],
) -> AsyncGenerator[cri.ContainerEventResponse]:
    while (event := await queue.get()) is not None:
        yield event
