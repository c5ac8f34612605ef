"""Where ``crun`` hands over the terminal of a process that it starts (``--console-socket``)."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path


class Console:
    """A socket in a folder, for one terminal. Its path is good for processes of this pid namespace, however long the
    folder's own is, and as long as this process lives."""

    def __init__(self, folder: str) -> None:
        self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._name = f"console-{os.getpid()}.sock"
        self._listener = listen(self._folder, self._name)

    def fileno(self) -> int:
        return self._listener.fileno()

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._folder}/{self._name}"

    def take(self) -> int | None:
        """Give the terminal's descriptor; None where none was handed over. Does not wait."""
        try:
            link, _ = self._listener.accept()
        except BlockingIOError:
            return None
        with link:
            _, fds, _, _ = socket.recv_fds(link, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        if not fds:
            return None
        os.set_inheritable(fds[0], False)
        return fds[0]

    def close(self) -> None:
        """Take the socket away; a second time does nothing."""
        if self._folder < 0:
            return
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._folder)
        os.close(self._folder)
        self._folder = -1


def listen(folder: int, name: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """Make a socket in an opened folder, which only this user may connect to. OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    listener = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(short(folder, name))
    finally:
        os.umask(before)
    listener.listen()
    return listener


def short(folder: int, name: str) -> str:
    """Give a path of a socket that fits in its address: it has 107 bytes there."""
    return str(Path("/proc/self/fd") / str(folder) / name)
