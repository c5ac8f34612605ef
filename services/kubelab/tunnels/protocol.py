"""The protocol between the supervisor and the tunnels' process, on a unix socket that only their user may open.

A request and its answer are one packet each (SOCK_SEQPACKET): JSON, with descriptors beside it.

::

    open      tunnel, route + listening socket   →  nothing; one that is open already is given its route
    close     port                               →  nothing
    list                                         →  tunnels
    take      port                               →  nothing + listening socket
    unhealthy names                              →  nothing
    state                                        →  numbers, also as a health check
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kubelab.tunnels.model import Route, Tunnel, TunnelTarget

MAX_PACKET = 64 * 1024
Message = dict[str, Any]


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one packet; OSError."""
    socket.send_fds(sock, [json.dumps(message, separators=(",", ":")).encode()], [*fds])


def receive(sock: socket.socket) -> tuple[Message | None, list[int]]:
    """Take one packet; None at the end. The descriptors are the caller's. OSError, BlockingIOError."""
    data, fds, _, _ = socket.recv_fds(sock, MAX_PACKET, 1, socket.MSG_CMSG_CLOEXEC)
    try:
        return (json.loads(data) if data else None), fds
    except ValueError:
        for fd in fds:
            os.close(fd)
        raise


def encode(tunnel: Tunnel, route: Route) -> Message:
    return {"tunnel": asdict(tunnel), "route": asdict(route)}


def decode(message: Message) -> tuple[Tunnel, Route]:
    route = message["route"]
    targets = tuple(TunnelTarget(**target) for target in route["targets"])
    return Tunnel(**message["tunnel"]), Route(targets, route["client_first"])
