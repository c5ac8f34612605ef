"""The audit trail keeps every record, whatever becomes of the disk and of descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
from collections.abc import Generator
from pathlib import Path

from prometheus_client import CollectorRegistry

from kubelab.apimachinery.clock import SystemClock
from kubelab.apiserver.audit.log import AuditLog, Record


def record(n: int) -> Record:
    return {"started_unix_nano": str(n), "process": "api-server@cp-1", "verb": "get", "name": f"web-{n}"}


def told(path: Path) -> list[str]:
    """The names, or the details of what has none, of each line that can be read."""
    found: list[str] = []
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            body = json.loads(line)
            found.append(body.get("name") or body["detail"])
    return found


def web(*numbers: int) -> list[str]:
    return [f"web-{n}" for n in numbers]


async def test_what_a_full_disk_refuses_is_written_later(tmp_path: Path) -> None:
    path, registry = tmp_path / "audit.log", CollectorRegistry()
    path.symlink_to("/dev/full")
    audit = AuditLog(path, SystemClock(), registry=registry)
    for n in range(3):
        audit.add(record(n))
        await audit.flush()
    assert registry.get_sample_value("apiserver_audit_error_total") == 3
    path.unlink()
    audit.add(record(3))
    await audit.flush()
    assert told(path) == web(0, 1, 2, 3)


async def test_a_line_that_was_cut_off_is_written_again_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    audit = AuditLog(path, SystemClock())
    audit.add(record(0))
    await audit.flush()
    with file_limit(path.stat().st_size * 5 // 2):  # room for one more line and a half
        for n in (1, 2, 3):
            audit.add(record(n))
        await audit.flush()
        assert told(path) == web(0, 1)
    await audit.flush()
    assert told(path) == web(0, 1, 2, 3)
    found = await audit.find(lambda r: r.name == "web-2", "web-2")
    assert [r.started_unix_nano for r in found] == [2]


@contextlib.contextmanager
def file_limit(size: int) -> Generator[None]:
    """No file may grow beyond so many bytes: the kernel writes what fits, as on a full disk."""
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def take_every_descriptor(taken: list[int]) -> None:
    gc.collect()
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))


async def test_records_are_written_without_a_descriptor_left(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    audit = AuditLog(path, SystemClock(), max_bytes=100)
    audit.add(record(0))
    await audit.flush()
    await asyncio.to_thread(int)  # the thread is there
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    taken: list[int] = []
    try:
        for n in (1, 2, 3):
            audit.add(record(n))
            take_every_descriptor(taken)  # others may have been closed meanwhile: this process ran tests before
            await audit.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)
    audit.add(record(4))
    await audit.flush()
    kept = [*told(path.with_name("audit.log.1")), *(told(path) if path.exists() else [])]
    assert kept == web(0, 1, 2, 3, 4)


async def test_what_is_lost_is_told_in_its_place(tmp_path: Path) -> None:
    path, registry = tmp_path / "audit.log", CollectorRegistry()
    path.symlink_to("/dev/full")
    audit = AuditLog(path, SystemClock(), max_pending=2, registry=registry)
    for n in range(5):
        audit.add(record(n))
    await audit.flush()
    path.unlink()
    await audit.flush()
    audit.add(record(5))
    await audit.flush()
    assert told(path) == [*web(0, 1), "3 records could not be kept", *web(5)]
    assert registry.get_sample_value("apiserver_audit_lost_total") == 3


async def test_the_end_writes_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    audit = AuditLog(path, SystemClock())
    running = asyncio.ensure_future(audit.run())
    await asyncio.sleep(0)
    audit.add(record(0))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert told(path) == web(0)
