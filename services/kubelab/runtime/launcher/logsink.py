"""A container's log in the CRI's format, which its monitor writes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from kubelab.apimachinery.clock import SystemClock

LOG_LINE = 16 * 1024  # longer lines are written in parts, as containerd does
CLOCK = SystemClock()  # wall time, for people to read; nothing waits by it


def now() -> int:
    """Nanoseconds since the epoch."""
    return int(CLOCK.time() * 1e9)


class LogSink:
    """A container's log in the CRI's format: ``2016-10-06T00:17:09.669794202Z stdout F message``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._rest: dict[str, bytes] = {"stdout": b"", "stderr": b""}
        self._fd = -1
        self._failed = False
        self.reopen()

    def reopen(self) -> None:
        """Write to the path's file, also after the kubelet has moved the old one away."""
        if not self._path:
            return
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        if self._fd < 0:
            self._fd = fd
            return
        # a signal calls this in the middle of a write: the descriptor's number has to stay good
        os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)

    def write(self, stream: str, data: bytes) -> None:
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        stamped = now()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamped // 10**9)) + f".{stamped % 10**9:09d}Z {stream} "
        parts: list[bytes] = []
        for line in lines:
            parts += self._parts(stamp, line)
        while len(rest) > LOG_LINE:
            parts.append(f"{stamp}P ".encode() + rest[:LOG_LINE] + b"\n")
            rest = rest[LOG_LINE:]
        self._rest[stream] = rest
        if self._fd >= 0 and parts:
            self._append(b"".join(parts))

    def _append(self, data: bytes) -> None:
        """A log that cannot be written (the disk is full) loses lines; the container goes on."""
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as err:
            if not self._failed:
                print(f"{self._path}: lines are lost: {err}", file=sys.stderr)  # noqa: T201
            self._failed = True
        else:
            self._failed = False

    def flush(self) -> None:
        """Write lines that never ended."""
        for stream, rest in self._rest.items():
            if rest:
                self.write(stream, b"\n")

    @staticmethod
    def _parts(stamp: str, line: bytes) -> list[bytes]:
        parts: list[bytes] = []
        while len(line) > LOG_LINE:
            parts.append(f"{stamp}P ".encode() + line[:LOG_LINE] + b"\n")
            line = line[LOG_LINE:]
        return [*parts, f"{stamp}F ".encode() + line + b"\n"]
