"""Reading container logs: formats, tails, limits, and following a file that grows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kubelab.apimachinery.clock import SystemClock
from kubelab.kubelet.logs.follow import read_log
from kubelab.kubelet.logs.reader import CHUNK_BYTES, LogQuery, chunks, seconds_of


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(f"2026-01-01T00:00:{n % 60:02}.500000000Z stdout {line}\n" for n, line in enumerate(lines))


def rotate(path: Path) -> None:
    path.rename(path.with_suffix(".old"))


def text(path: Path, query: LogQuery) -> str:
    return b"".join(chunks(str(path), query)).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    write(path, "F one", "P tw", "F o", "F ", "F three")
    return path


def test_all_of_it_with_partial_and_empty_lines(log: Path) -> None:
    assert text(log, LogQuery()) == "one\ntwo\n\nthree\n"


@pytest.mark.parametrize(
    ("lines", "expected"), [(0, ""), (1, "three\n"), (2, "\nthree\n"), (99, "one\ntwo\n\nthree\n")]
)
def test_tail(log: Path, lines: int, expected: str) -> None:
    assert text(log, LogQuery(tail_lines=lines)) == expected


def test_a_tail_is_found_from_the_end_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    write(path, *(f"F line {n} {'x' * 90}" for n in range(5000)))
    assert path.stat().st_size > 4 * CHUNK_BYTES
    assert text(path, LogQuery(tail_lines=2000)).splitlines()[0].startswith("line 3000 ")
    assert len(text(path, LogQuery()).splitlines()) == 5000


def test_since_timestamps_and_limit(log: Path) -> None:
    assert text(log, LogQuery(since=seconds_of(b"2026-01-01T00:00:04Z"))) == "three\n"
    assert text(log, LogQuery(timestamps=True, tail_lines=1)) == "2026-01-01T00:00:04.500000000Z three\n"
    assert text(log, LogQuery(limit_bytes=5)) == "one\nt"


def test_times_of_any_precision() -> None:
    whole = seconds_of(b"2026-01-01T00:00:04Z")
    assert seconds_of(b"2026-01-01T00:00:04.25Z") == whole + 0.25
    assert seconds_of(b"2026-01-01T01:00:04.123456789+01:00") == pytest.approx(whole + 0.123456789)
    assert seconds_of(b"nonsense") == 0.0


async def test_following_ends_with_the_container_and_misses_nothing(log: Path) -> None:
    got: list[bytes] = []
    over = False
    end, began = asyncio.Event(), asyncio.Event()

    async def follow() -> None:
        query = LogQuery(follow=True)
        async for data in read_log(str(log), query, clock=SystemClock(), ended=lambda: over, end=end):
            got.append(data)
            began.set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(follow())
        await began.wait()
        began.clear()
        write(log, "F four")
        await began.wait()
        began.clear()
        rotate(log)
        write(log.with_suffix(".old"), "F last words")  # the writer is told only after the file has its new name
        write(log, "F five")
        await began.wait()
        write(log, "F six")
        over = True
        end.set()
    assert b"".join(got) == b"one\ntwo\n\nthree\nfour\nlast words\nfive\nsix\n"


async def test_a_missing_log_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async for _ in read_log(str(tmp_path / "none.log"), LogQuery(), clock=SystemClock()):
            pass
