"""Standard input and output ↔ a unix socket, as bytes: how ``docker exec -i NODE`` reaches what listens inside.

It imports nothing but the standard library, because it is started anew for each connection.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading

CHUNK = 65536


def relay(path: str, input_fd: int = 0, output_fd: int = 1) -> int:
    """Carry bytes until both directions have ended, or one end is gone. Gives the exit code."""
    link = socket.socket(socket.AF_UNIX)
    try:
        link.connect(path)
    except OSError as err:
        print(f"cannot reach {path}: {err.strerror or err}", file=sys.stderr)  # noqa: T201
        return 1
    # A thread for each direction: neither waits for the other, and the kernel's buffers hold back the faster side.
    inward = threading.Thread(target=_send, args=(input_fd, link), daemon=True)
    inward.start()
    try:
        while data := link.recv(CHUNK):
            _write(output_fd, data)
        os.close(output_fd)
    except OSError:
        return 0  # the reader or the socket's other end is closed: nothing is left to carry
    # The other end sends no more, but may still read. Input goes on until it ends, or the other end stops reading.
    _wait_for(inward, link)
    return 0


def _send(input_fd: int, link: socket.socket) -> None:
    try:
        while data := os.read(input_fd, CHUNK):
            link.sendall(data)
    except OSError:
        pass  # the other end is closed: the other direction notices it too
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_WR)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _wait_for(inward: threading.Thread, link: socket.socket) -> None:
    """Until input has ended or the socket is closed on both sides."""
    poll = select.poll()
    poll.register(link, 0)  # POLLHUP needs no request: our side shut down, or theirs closed
    if inward.is_alive():
        poll.poll()
