"""A way from this process to a server in a node's network namespace: a unix socket whose connections go on there.

A tunnel of the cluster would do until the supervisor, which is fuzzed as well, is asked to close it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from kubelab.supervisor.network import NamespaceThread


@contextlib.asynccontextmanager
async def relay(namespace: Path, address: tuple[str, int], socket: Path) -> AsyncGenerator[None]:
    """Lead every connection to ``socket`` to an address of the namespace, until the body ends."""
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    thread = NamespaceThread(fd, namespace.name)
    await asyncio.wrap_future(thread.submit(lambda: None))
    os.close(fd)

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            sock = await asyncio.wrap_future(thread.tcp_socket())
            await asyncio.get_running_loop().sock_connect(sock, address)
            there, back = await asyncio.open_connection(sock=sock)
            with contextlib.closing(back):
                await asyncio.gather(_copy(reader, back), _copy(there, writer))

    async with asyncio.TaskGroup() as group:
        leading: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = group.create_task(lead(reader, writer), name="relay")
            leading.add(task)
            task.add_done_callback(leading.discard)

        server = await asyncio.start_unix_server(connected, socket)
        try:
            yield
        finally:
            server.close()
            for task in leading:
                task.cancel()
    await asyncio.to_thread(thread.close)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Bytes of one direction, to their end."""
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    with contextlib.suppress(OSError, RuntimeError):
        target.write_eof()
