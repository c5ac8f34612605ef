"""The audit trail: a line of JSON for each request, in one file that all workers of a node append to.

Requests only add to a list; one task writes it out in batches, in a thread. A batch of whole lines goes out in a
single append, so that workers do not mix them up. The file is turned over by size under a lock, by whoever notices.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import structlog
from google.protobuf.json_format import MessageToDict, ParseDict

from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.v1 import apiserver_pb2

log = structlog.get_logger()

FLUSH_EVERY = 0.1  # seconds
MAX_BYTES = 64 * 1024 * 1024
MAX_PENDING = 100_000  # records; a disk that hangs must not eat the memory


class AuditLog:
    """Appends records and finds them again. No path: nothing is kept."""

    def __init__(self, path: Path | None, clock: Clock, max_bytes: int = MAX_BYTES) -> None:
        self._path, self._clock, self._max_bytes = path, clock, max_bytes
        self._pending: list[dict[str, str | int]] = []
        self._wanted = asyncio.Event()
        self._writing = asyncio.Lock()
        self.dropped = 0

    def add(self, record: dict[str, str | int]) -> None:
        """Note a record: fields of ``AuditRecord`` by name."""
        if self._path is None:
            return
        if len(self._pending) >= MAX_PENDING:
            self.dropped += 1
            return
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
                await self._clock.sleep(FLUSH_EVERY)
                await self.flush()
        finally:
            batch, self._pending = self._pending, []
            self._write(batch)

    async def flush(self) -> None:
        """Write out what has been noted so far."""
        async with self._writing:
            batch, self._pending = self._pending, []
            if batch:
                await asyncio.to_thread(self._write, batch)

    async def find(
        self, wanted: Callable[[apiserver_pb2.AuditRecord], bool], word: str
    ) -> list[apiserver_pb2.AuditRecord]:
        """Records that a predicate takes, oldest first, among the lines that contain a word."""
        await self.flush()
        return await asyncio.to_thread(lambda: [r for r in self._read(word) if wanted(r)])

    def _write(self, batch: list[dict[str, str | int]]) -> None:
        if self._path is None or not batch:
            return
        lines = "".join([json.dumps(r, separators=(",", ":")) + "\n" for r in batch])
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(lines.encode())
                full = file.tell() > self._max_bytes
            if full:
                self._turn_over()
        except OSError as err:
            self.dropped += len(batch)
            log.error("cannot write audit records", path=str(self._path), error=str(err), dropped=self.dropped)

    def _turn_over(self) -> None:
        assert self._path is not None
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._path.stat().st_size > self._max_bytes:  # otherwise another worker was faster
                self._path.replace(self._old)

    @property
    def _old(self) -> Path:
        assert self._path is not None
        return self._path.with_name(self._path.name + ".1")

    def _read(self, word: str) -> Iterator[apiserver_pb2.AuditRecord]:
        if self._path is None:
            return
        needle = json.dumps(word).encode()
        records: list[apiserver_pb2.AuditRecord] = []
        for path in (self._old, self._path):
            with suppress(FileNotFoundError), path.open("rb") as file:
                records.extend(
                    ParseDict(json.loads(line), apiserver_pb2.AuditRecord(), ignore_unknown_fields=True)
                    for line in file
                    if needle in line and line.endswith(b"\n")
                )
        records.sort(key=lambda r: r.started_unix_nano)  # workers write in batches
        yield from records


def as_dict(record: apiserver_pb2.AuditRecord) -> dict[str, str | int]:
    """A record as its line of JSON holds it."""
    return MessageToDict(record, preserving_proto_field_name=True)
