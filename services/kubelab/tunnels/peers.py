"""Find the user at the other end of a connection from this machine, by sock_diag(7).

A connection over the loopback has two sockets here, and the kernel knows the user of the client's. It answers at
once: one exact look-up in its table of connections, not a list of all.
"""

from __future__ import annotations

import errno
import socket
import struct

NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 20, 1
_ANY_STATE, _NO_COOKIE = 0xFFF, 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI")
_PORTS_AND_ADDRESSES = struct.Struct("!HH16s16s")
_INTERFACE_AND_COOKIE = struct.Struct("=III")
_UID_AT = _HEADER.size + 4 + _PORTS_AND_ADDRESSES.size + _INTERFACE_AND_COOKIE.size + 12
_ANSWER = _UID_AT + 8

Address = tuple[str, int]


class Peers:
    """Names the peers of accepted connections, for counting. It belongs to the namespace that it was made in."""

    def __init__(self) -> None:
        self._netlink: socket.socket | None = None
        try:
            self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
            self._netlink.setblocking(False)
        except OSError:
            pass  # a kernel without it: all users of this machine count as one

    def of(self, accepted: socket.socket) -> str:
        """``uid 1000`` for a user of this machine, else the address; a client that is gone already has one name."""
        try:
            client, server = accepted.getpeername(), accepted.getsockname()
        except OSError:
            return "gone"
        if not client[0].startswith("127."):
            return client[0]
        uid = self._uid(client, server)
        return client[0] if uid is None else f"uid {uid}"

    def close(self) -> None:
        if self._netlink:
            self._netlink.close()
            self._netlink = None

    def _uid(self, client: Address, server: Address) -> int | None:
        if self._netlink is None:
            return None
        ends = _PORTS_AND_ADDRESSES.pack(client[1], server[1], _packed(client[0]), _packed(server[0]))
        body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + ends
        body += _INTERFACE_AND_COOKIE.pack(0, _NO_COOKIE, _NO_COOKIE)
        try:
            self._netlink.send(
                _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + body
            )
            answer = self._netlink.recv(4096)
        except OSError as err:
            if err.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOENT):
                self.close()
            return None
        _, kind, *_ = _HEADER.unpack_from(answer)
        if kind != _SOCK_DIAG_BY_FAMILY or len(answer) < _ANSWER:
            return None  # an error: it has gone already
        return int(struct.unpack_from("=I", answer, _UID_AT)[0])


def _packed(address: str) -> bytes:
    return socket.inet_aton(address) + bytes(12)
