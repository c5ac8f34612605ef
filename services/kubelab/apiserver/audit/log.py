"""The audit trail: a line of JSON for each request, in one file that all workers of a node append to.

Requests only add to a list; one task writes it out in batches, in a thread. A batch of whole lines goes out in a
single append, so that workers do not mix them up. The file is turned over by size under a lock, by the worker that
notices.

The file stays open, so a process without a descriptor left still writes. What cannot be written (a full disk) stays in
the list and is written later; ``apiserver_audit_error_total`` counts the attempts. Only when the list is full a record
is lost, and then a record of that stands in its place.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import structlog
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from prometheus_client import CollectorRegistry, Counter

from kubelab.apimachinery.clock import Clock
from kubelab.files import rotation
from kubelab.rpc.apiserver.v1 import apiserver_pb2

log = structlog.get_logger()

Record = dict[str, str | int | dict[str, str]]
"""Fields of ``AuditRecord`` by name."""
FLUSH_EVERY = 0.1  # seconds
RETRY_EVERY = 1.0  # seconds, when the last attempt failed
MAX_BYTES = 64 * 1024 * 1024
MAX_PENDING = 100_000  # records; a disk that hangs must not eat the memory


class AuditLog:
    """Appends records and finds them again. No path: nothing is kept."""

    def __init__(
        self,
        path: Path | None,
        clock: Clock,
        max_bytes: int = MAX_BYTES,
        *,
        max_pending: int = MAX_PENDING,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._path, self._clock, self._max_bytes, self._max_pending = path, clock, max_bytes, max_pending
        self._pending: list[Record] = []
        self._wanted = asyncio.Event()
        self._writing = asyncio.Lock()
        self._in_a_thread = threading.Lock()  # a write that was begun goes on when its task is cancelled
        self._file: int | None = None
        self._torn = False  # the last append was cut off within a line
        self._failing = False
        self._lost = 0  # records since the last one that could be kept
        registry = registry or CollectorRegistry()
        self._errors = Counter(
            "apiserver_audit_error", "Attempts to write audit records that failed.", registry=registry
        )
        self._lost_total = Counter("apiserver_audit_lost", "Audit records that were not kept.", registry=registry)

    def add(self, record: Record) -> None:
        """Note a record."""
        if self._path is None:
            return
        if len(self._pending) >= self._max_pending:
            self._lost += 1
            self._lost_total.inc()
            return
        if self._lost:
            self._pending.append(_of_lost(self._lost, record))
            self._lost = 0
        self._pending.append(record)
        self._wanted.set()

    async def run(self) -> None:
        """Write records out until cancelled; what is left then is written too."""
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                await self._clock.sleep(RETRY_EVERY if self._failing else FLUSH_EVERY)
                await self.flush()
        finally:
            self._write(self._pending)
            self._close()

    async def flush(self) -> None:
        """Write out what has been noted so far, or try it again later."""
        async with self._writing:
            batch, self._pending = self._pending, []
            if not batch:
                return
            kept = await asyncio.to_thread(self._write, batch)
            if kept == len(batch):
                if self._failing:
                    log.info("audit records are written again", path=str(self._path))
                self._failing = False
                return
            self._pending[:0] = batch[kept:]
            self._failing = True
            self._errors.inc()
            self._wanted.set()

    async def find(
        self, wanted: Callable[[apiserver_pb2.AuditRecord], bool], word: str
    ) -> list[apiserver_pb2.AuditRecord]:
        """Records that a predicate takes, oldest first, among the lines that contain a word."""
        await self.flush()
        return await asyncio.to_thread(lambda: [r for r in self._read(word) if wanted(r)])

    def _write(self, batch: list[Record]) -> int:
        """Append records in one piece; gives how many of them are in the file now."""
        if self._path is None or not batch:
            return len(batch)
        data = "".join([json.dumps(r, separators=(",", ":")) + "\n" for r in batch]).encode()
        written = 0
        with self._in_a_thread:
            start = b"\n" if self._torn else b""  # ends the piece of a line that stands there; readers pass over it
            try:
                file = self._opened(self._path)
                written = os.write(file, start + data) - len(start)
                self._torn = written < 0 or (written > 0 and data[written - 1 : written] != b"\n")
                if written < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if os.fstat(file).st_size > self._max_bytes:
                    self._turn_over()
            except OSError as err:
                if not self._failing:
                    log.error("cannot write audit records, trying again", path=str(self._path), error=str(err))
                return data[: max(0, written)].count(b"\n")
        return len(batch)

    def _opened(self, path: Path) -> int:
        """The file, open: as it is at its path now, if that can be had."""
        if self._file is not None:
            with suppress(FileNotFoundError):
                there, ours = path.stat(), os.fstat(self._file)
                if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                    return self._file
        try:
            fresh = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError:
            if self._file is None:
                raise
            return self._file  # another worker has turned it over, and no descriptor is left: the old one is read too
        self._let_go()
        self._file = fresh
        return fresh

    def _close(self) -> None:
        with self._in_a_thread:
            self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _turn_over(self) -> None:
        assert self._path is not None
        try:
            rotation.by_renaming(self._path, self._max_bytes)
        except OSError as err:
            log.error("cannot turn the audit file over", path=str(self._path), error=str(err))

    def _read(self, word: str) -> Iterator[apiserver_pb2.AuditRecord]:
        if self._path is None:
            return
        needle = json.dumps(word).encode()
        records: list[apiserver_pb2.AuditRecord] = []
        for path in (rotation.previous(self._path), self._path):
            with suppress(FileNotFoundError), path.open("rb") as file:
                for line in file:
                    if needle in line and line.endswith(b"\n"):
                        with suppress(ValueError, ParseError):  # the piece of a line that a full disk has left
                            records.append(
                                ParseDict(json.loads(line), apiserver_pb2.AuditRecord(), ignore_unknown_fields=True)
                            )
        records.sort(key=lambda r: r.started_unix_nano)  # workers write in batches
        yield from records


def _of_lost(count: int, following: Record) -> Record:
    """The record that stands for records that could not be kept."""
    known = {key: following[key] for key in ("started_unix_nano", "process") if key in following}
    return {**known, "verb": "audit", "code": "DATA_LOSS", "detail": f"{count} records could not be kept"}


def as_dict(record: apiserver_pb2.AuditRecord) -> Record:
    """A record as its line of JSON holds it."""
    return MessageToDict(record, preserving_proto_field_name=True)
