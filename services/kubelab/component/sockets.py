"""Find the process that holds a TCP port of this network namespace, by sock_diag(7) and /proc.

A socket that is bound and does not listen holds its port too. Linux tells of those since 6.8; an older kernel leaves
them out.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

_NETLINK_SOCK_DIAG, _BY_FAMILY, _DONE, _ERROR = 4, 20, 3, 2
_REQUEST_DUMP = 0x001 | 0x300  # NLM_F_REQUEST | NLM_F_DUMP
_LISTEN, _BOUND_INACTIVE = 1 << 10, 1 << 13  # linux/tcp_states.h
_HEADER, _ASKED = struct.Struct("=IHHII"), struct.Struct("=BBBBI48x")
_PORT_AT, _INODE_AT = 4, 68  # in struct inet_diag_msg
_ENOUGH = 1 << 16


def on_ports(ports: Collection[int]) -> dict[int, int]:
    """Give the sockets that hold one of the ports, as inode and port. OSError where the kernel refuses."""
    ports_by_inode: dict[int, int] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            request = _ASKED.pack(family, socket.IPPROTO_TCP, 0, 0, _LISTEN | _BOUND_INACTIVE)
            netlink.send(_HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _REQUEST_DUMP, 0, 0) + request)
            for body in _messages(netlink):
                (port,) = struct.unpack_from("!H", body, _PORT_AT)
                (inode,) = struct.unpack_from("=I", body, _INODE_AT)
                if port in ports and inode:
                    ports_by_inode[inode] = port
    return ports_by_inode


def _messages(netlink: socket.socket) -> Iterator[bytes]:
    """The answers to one dump. OSError for a refusal."""
    while True:
        read = netlink.recv(_ENOUGH)
        while read:
            length, kind, *_ = _HEADER.unpack_from(read)
            body = read[_HEADER.size : length]
            if kind == _DONE:
                return
            if kind == _ERROR:
                (code,) = struct.unpack_from("=i", body)
                raise OSError(-code, os.strerror(-code))
            yield body
            read = read[(length + 3) & ~3 :]


def processes() -> list[int]:
    """Every process that this one sees."""
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def inodes_of(pid: int) -> Iterator[int]:
    """The sockets that a process has open; none of a process that is gone, or another user's."""
    try:
        with os.scandir(f"/proc/{pid}/fd") as descriptors:
            for one in descriptors:
                target = str(Path(one.path).readlink())
                if target.startswith("socket:["):
                    yield int(target[8:-1])
    except OSError:
        return


def holder(port: int, pids: Iterable[int] | None = None) -> str:
    """Name the process that holds a port: ``process 1234 (python3)``; "" where that cannot be known."""
    try:
        inodes = on_ports({port}).keys()
    except OSError:
        return ""
    for pid in processes() if pids is None else pids:
        if inodes and any(inode in inodes for inode in inodes_of(pid)):
            try:
                name = ascii(Path(f"/proc/{pid}/comm").read_text().strip())[1:-1]
                return f"process {pid} ({name})"
            except OSError:
                break
    return ""
