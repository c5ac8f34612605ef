"""A program in a terminal of its own: what it prints there, and what is typed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

SECONDS = 60.0


class Screen:
    """A running program's terminal."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self._master = process, master
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def shows(self, text: str) -> None:
        """Read on until it has printed this since the last time."""
        while text not in self.text:
            assert self._read(), f"{text!r} is not in {self.text!r}"
        self.text = self.text.partition(text)[2]

    def end(self) -> int:
        """Read to the end; gives the exit code."""
        while self._read():
            pass
        return self.process.wait(SECONDS)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], SECONDS)
        assert ready, f"it prints nothing more: {self.text!r}"
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: it has ended
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    @property
    def cooked(self) -> bool:
        """Whether the terminal is as a shell has it."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ICANON)


@contextlib.contextmanager
def screen(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Generator[Screen]:
    """Run a program until the body ends; then it is killed if need be."""
    master, slave = pty.openpty()
    try:
        with subprocess.Popen(
            ["setsid", "--ctty", "--wait", *command], cwd=folder, env=dict(environment), stdin=slave, stdout=slave,
            stderr=slave,
        ) as process:  # fmt: skip
            os.close(slave)
            slave = -1
            shown = Screen(process, master)
            shown.resize(80, 24)
            try:
                yield shown
            finally:
                process.kill()
    finally:
        if slave >= 0:
            os.close(slave)
        os.close(master)
