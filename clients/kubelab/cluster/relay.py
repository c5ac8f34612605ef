"""Sockets inside of containers, reached from here: a unix socket whose every connection is one ``docker exec -i``.

The connection itself is the program's standard input and output, so no byte passes through this process. gRPC connects
to the socket as to any other. When gRPC closes the connection, the program ends, and vice versa.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import grpc

from kubelab.rpc.channels import unix_channel

END_SECONDS = 5.0
START_MS = 20_000  # a program is started first; gRPC gives a connection as long as its shortest back-off


class Relays:
    """The relays of one caller. Each lasts until :meth:`close`, longer than its channel."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.folder: Path | None = None
        self._listeners: dict[tuple[str, ...], tuple[Path, socket.socket]] = {}
        self._programs: list[subprocess.Popen[bytes]] = []

    def channel(self, argv: Sequence[str]) -> grpc.aio.Channel:
        """Open a channel over the standard streams of a command; close it. A command is started per connection."""
        key = tuple(argv)
        if key not in self._listeners:
            self._listeners[key] = self._listen(key)
        return unix_channel(self._listeners[key][0], options=(("grpc.min_reconnect_backoff_ms", START_MS),))

    def _listen(self, argv: tuple[str, ...]) -> tuple[Path, socket.socket]:
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="kubelab-"))  # only we may look into it
        path = self.folder / f"{len(self._listeners)}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener, self._accepting(listener, argv))
        return path, listener

    def _accepting(self, listener: socket.socket, argv: tuple[str, ...]) -> Callable[[], None]:
        def accept() -> None:
            self._programs = [program for program in self._programs if program.poll() is None]
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            with connection:
                connection.setblocking(True)
                self._programs.append(
                    subprocess.Popen(
                        argv,
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                        stderr=subprocess.DEVNULL,
                        env=self._environment,
                        start_new_session=True,  # Ctrl-C is ours, we end it
                    )
                )

        return accept

    def close(self) -> None:
        """End every connection, and leave nothing behind."""
        with contextlib.suppress(RuntimeError):  # without a loop there is no listener to close
            loop = asyncio.get_running_loop()
            for _, listener in self._listeners.values():
                loop.remove_reader(listener)
        for _, listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        for program in self._programs:
            program.kill()
            program.wait(END_SECONDS)
        self._programs.clear()
        if self.folder is not None:
            shutil.rmtree(self.folder)
            self.folder = None
