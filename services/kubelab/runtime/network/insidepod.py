"""Connections to what listens on localhost inside of a pod, made from outside."""

from __future__ import annotations

import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kubelab.apimachinery.clock import Clock
from kubelab.linux import syscalls

CONNECT_SECONDS = 10.0


async def connect(pid: int, port: int, clock: Clock) -> socket.socket:
    """Connect to a port of localhost in the network namespace of a process. OSError in the words of Go's ``net``, as
    containerd's are: by IPv4 and, where nothing listens there, by IPv6."""
    reasons: list[str] = []
    for family, name, host in ((socket.AF_INET, "tcp4", "127.0.0.1"), (socket.AF_INET6, "tcp6", "::1")):
        where = f"[{host}]" if ":" in host else host
        try:
            return await _connect(pid, family, host, port, clock)
        except TimeoutError:
            reasons.append(f"dial {name} {where}:{port}: i/o timeout")
        except OSError as err:
            reasons.append(
                f"dial {name} {where}:{port}: connect: {(os.strerror(err.errno) if err.errno else str(err)).lower()}"
            )
    raise OSError(f"IPv4: {reasons[0]} IPv6 {reasons[1]}")


async def _connect(pid: int, family: int, host: str, port: int, clock: Clock) -> socket.socket:
    loop = asyncio.get_running_loop()
    # A thread that has been in a namespace of another's does nothing after that: it ends.
    with ThreadPoolExecutor(1, "inside-pod") as thread:
        sock = await loop.run_in_executor(thread, _socket_in, pid, family)
    try:
        async with clock.timeout(CONNECT_SECONDS):
            await loop.sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _socket_in(pid: int, family: int) -> socket.socket:
    """A socket belongs for ever to the namespace that it was made in."""
    with Path(f"/proc/{pid}/ns/net").open("rb") as namespace:
        syscalls.setns(namespace.fileno(), syscalls.CLONE_NEWNET)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock
