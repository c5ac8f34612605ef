"""A tunnel, its targets, and the networks in which its sockets are made."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kubelab.apimachinery.errors import BadRequest
from kubelab.files import statefile
from kubelab.linux import syscalls

ANY_NODE = ""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """``local_port`` outside → ``address`` (host:port), connected to from inside ``node``, or from any that answers."""

    local_port: int
    node: str
    address: str

    @classmethod
    def noted(cls, local_port: int, node: str, address: str) -> Tunnel:
        """Make one from a file; ValueError for a port that is none."""
        if not 0 < local_port < 65536:
            raise ValueError(f"local_port {local_port}: expected 1 to 65535")
        return cls(local_port, node, address)


TUNNELS_FILE = statefile.json_list(Tunnel.noted, local_port=int, node=str, address=str)  # reads a file of them


def check_port(local_port: int) -> None:
    """BadRequest for what is no port to listen on; 0 is any that is free."""
    if not 0 <= local_port < 65536:
        raise BadRequest(f"local_port: {local_port}: expected a number from 0 to 65535")


@dataclass(frozen=True, slots=True)
class TunnelTarget:
    """One target: ``host``:``port`` as seen from ``node``."""

    node: str
    host: str
    port: int

    @classmethod
    def of(cls, node: str, address: str) -> TunnelTarget:
        """Read ``host:port``; BadRequest when it is none."""
        host, _, port = address.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65536:
            raise BadRequest(f'address "{address}": expected host:port')
        return cls(node, host, int(port))

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Route:
    """The targets of a tunnel's connections, the preferred one first.

    ``client_first`` says that a client speaks first and is answered at once, as in TLS: a connection on which nothing
    has come yet stays outside, and a server that does not answer counts as one that failed.
    """

    targets: tuple[TunnelTarget, ...]
    client_first: bool = False


class Network(Protocol):
    """A network in which the tunnels' process makes sockets."""

    def tcp_socket(self) -> socket.socket:
        """Make a TCP socket there that does not block; OSError."""
        ...


class HostNetwork:
    """This process's own network namespace."""

    def tcp_socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


class NetworkNamespace:
    """Another network namespace. The thread is in it only while it makes a socket, and it makes one at a time."""

    def __init__(self, path: Path) -> None:
        """Open the namespace; OSError when it is not there."""
        self._inside = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def tcp_socket(self) -> socket.socket:
        syscalls.setns(self._inside)
        try:
            return HostNetwork().tcp_socket()
        finally:
            syscalls.setns(self._outside)

    def close(self) -> None:
        os.close(self._inside)
        os.close(self._outside)


def addresses_of(targets: Sequence[TunnelTarget]) -> str:
    """Name the targets for a person."""
    return ", ".join(f"{target.address} from {target.node}" for target in targets)
