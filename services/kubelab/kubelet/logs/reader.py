"""Container logs as the CRI writes them: read a part, from the end or from a time on.

A line of the file is ``2016-10-06T00:17:09.669794202Z stdout F text``; P instead of F says that the line goes on.
https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md

Everything here blocks (files) and works in bounded chunks: callers run it off the event loop.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kubelab.api.core.v1 import core_pb2

CHUNK_BYTES = 64 * 1024
_FULL, _PARTIAL = b"F", b"P"


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What of a log is wanted. ``since`` is seconds since the epoch; None everywhere is all of it."""

    tail_lines: int | None = None
    since: float | None = None
    timestamps: bool = False
    limit_bytes: int | None = None
    follow: bool = False

    @classmethod
    def of(cls, options: core_pb2.PodLogOptions, now: float) -> LogQuery:
        since: float | None = None
        if options.HasField("sinceTime"):
            since = options.sinceTime.seconds + options.sinceTime.nanos / 1e9
        elif options.HasField("sinceSeconds"):
            since = now - options.sinceSeconds
        return cls(
            tail_lines=options.tailLines if options.HasField("tailLines") else None,
            since=since,
            timestamps=options.timestamps,
            limit_bytes=options.limitBytes if options.HasField("limitBytes") else None,
            follow=options.follow,
        )


class LogReader:
    """One pass over a growing file: each :meth:`read` gives what came since the last, formatted.

    It survives rotation: when :meth:`replaced` says that the path is another file by now, read this one to its end,
    and :meth:`turn` to that one.
    """

    def __init__(self, path: str, query: LogQuery) -> None:
        """Raises FileNotFoundError."""
        self._path, self._query = path, query
        self._file: BinaryIO = Path(path).open("rb")  # noqa: SIM115 — the reader is the context
        self._next: BinaryIO | None = None
        self._rest = b""
        self._sent = 0
        self._continues = False
        if query.tail_lines is not None:
            self._file.seek(tail_offset(self._file, query.tail_lines))

    def close(self) -> None:
        self._file.close()
        if self._next is not None:
            self._next.close()

    @property
    def full(self) -> bool:
        """The limit of bytes is reached: there will be no more."""
        limit = self._query.limit_bytes
        return limit is not None and self._sent >= limit

    def read(self) -> bytes:
        """Give the next part, at most about a chunk; empty when there is nothing (more) now."""
        while not self.full:
            data = self._file.read(CHUNK_BYTES)
            if not data:
                return b""
            *lines, self._rest = (self._rest + data).split(b"\n")
            out = b"".join(self._formatted(line) for line in lines if line)
            if out:
                return self._limited(out)
        return b""

    def replaced(self) -> bool:
        """Say whether the path leads to another file by now; that one is then open, too, for :meth:`turn`.

        Its writer has left the old one for good, so what can be read there after this is all that there will be.
        """
        if self._next is None:
            with contextlib.suppress(FileNotFoundError):
                self._next = Path(self._path).open("rb")  # noqa: SIM115
        if self._next is None:
            return False
        following, here = os.fstat(self._next.fileno()), os.fstat(self._file.fileno())
        if (following.st_dev, following.st_ino) != (here.st_dev, here.st_ino):
            return True
        self._next.close()
        self._next = None
        return False

    def turn(self) -> None:
        """Go on with the file that :meth:`replaced` found."""
        assert self._next is not None, "there is no other file"
        self._file.close()
        self._file, self._next, self._rest = self._next, None, b""

    def _limited(self, out: bytes) -> bytes:
        if self._query.limit_bytes is not None:
            out = out[: self._query.limit_bytes - self._sent]
        self._sent += len(out)
        return out

    def _formatted(self, line: bytes) -> bytes:
        stamp, _, rest = line.partition(b" ")
        _stream, _, rest = rest.partition(b" ")
        tags, _, text = rest.partition(b" ")
        tag = tags.split(b":")[0]
        if tag not in (_FULL, _PARTIAL):
            return b""  # not a line of the format: a crash may have cut one
        if self._query.since is not None and seconds_of(stamp) < self._query.since:
            return b""
        begins, self._continues = not self._continues, tag == _PARTIAL
        head = stamp + b" " if self._query.timestamps and begins else b""
        return head + text + (b"" if tag == _PARTIAL else b"\n")


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Find where the last so many lines begin, reading blocks from the end."""
    end = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return end
    at, newlines = end, -1  # the newline at the very end closes the last line
    if end:
        file.seek(end - 1)
        newlines = -1 if file.read(1) == b"\n" else 0
    while at > 0:
        size = min(CHUNK_BYTES, at)
        at -= size
        file.seek(at)
        block = file.read(size)
        place = len(block)
        while (place := block.rfind(b"\n", 0, place)) >= 0:
            newlines += 1
            if newlines == lines:
                return at + place + 1
    return 0


def seconds_of(stamp: bytes) -> float:
    """Read an RFC 3339 time with up to nine digits after the second; 0.0 for what is none."""
    head, dot, tail = stamp.decode(errors="replace").partition(".")
    fraction = 0.0
    if dot:
        digits = "".join(c for c in tail[:9] if c.isdigit())
        fraction = float(f"0.{digits or '0'}")
        head += tail.lstrip("0123456789")
    try:
        return datetime.datetime.fromisoformat(head).timestamp() + fraction
    except ValueError:
        return 0.0


def chunks(path: str, query: LogQuery) -> Iterator[bytes]:
    """Give everything that is there now."""
    reader = LogReader(path, query)
    try:
        while data := reader.read():
            yield data
    finally:
        reader.close()
