"""Attach of the CRI: a container's own streams, which its monitor has, in streams of SPDY."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Coroutine, Generator, Mapping
from pathlib import Path
from typing import Any

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.launcher import attached
from kubelab.runtime.launcher.console import short
from kubelab.spdy.connection import Stream
from kubelab.spdy.errors import ProtocolError
from kubelab.spdy.remotecommand import Sizes
from kubelab.streams.concurrency import until_first


async def run(folder: Path, config: cri.ContainerConfig, streams: Mapping[str, Stream]) -> None:
    """Copy a container's streams until it has ended. ConnectionError where its monitor does not answer.

    As with containerd the end of stdin ends that of a container with ``stdin_once``, and detaches from any other one.
    """
    with _connected(folder) as link:
        wanted = json.dumps([name for name in ("stdin", "stdout", "stderr") if name in streams]).encode()
        await asyncio.get_running_loop().sock_sendall(link, attached.WANTED + wanted)
        sides: list[Coroutine[Any, Any, None]] = [_outputs(link, streams)]
        if "stdin" in streams:
            sides.append(_stdin(link, streams["stdin"], stays=config.stdin_once and not config.tty))
        if "resize" in streams:
            sides.append(_sizes(link, streams["resize"]))
        await until_first(*sides)


@contextlib.contextmanager
def _connected(folder: Path) -> Generator[socket.socket]:
    home = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        link.setblocking(False)
        link.connect(short(home, attached.SOCKET))
        yield link
    except OSError as err:
        raise ConnectionResetError(f"the container cannot be attached to: {err}") from err
    finally:
        link.close()
        os.close(home)


async def _outputs(link: socket.socket, streams: Mapping[str, Stream]) -> None:
    names = {kind: name for name, kind in attached.OUTPUT.items()}
    loop = asyncio.get_running_loop()
    while packet := await loop.sock_recv(link, attached.MAX_PACKET + 1):
        if stream := streams.get(names.get(packet[:1], "")):
            await stream.write(packet[1:])


async def _stdin(link: socket.socket, stream: Stream, *, stays: bool) -> None:
    loop = asyncio.get_running_loop()
    while data := await stream.read():
        for start in range(0, len(data), attached.MAX_PACKET):
            await loop.sock_sendall(link, attached.STDIN + data[start : start + attached.MAX_PACKET])
    await loop.sock_sendall(link, attached.STDIN_END)
    if stays:
        await _for_ever()


async def _sizes(link: socket.socket, stream: Stream) -> None:
    sizes, loop = Sizes(stream), asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError, ProtocolError):
        while (size := await sizes.next()) is not None:
            await loop.sock_sendall(link, attached.SIZE + attached.SIZES.pack(*size))
    await _for_ever()


async def _for_ever() -> None:
    """Until the container has ended."""
    await asyncio.get_running_loop().create_future()
