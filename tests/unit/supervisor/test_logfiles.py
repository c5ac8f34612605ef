"""The end of a log, and what is added to it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from kubelab.component import logs
from kubelab.supervisor import logfiles
from tests.support.clock import FakeClock


@pytest.mark.parametrize(
    ("text", "count", "lines"),
    [
        ("", 3, []),
        ("a\nb\n", 0, ["a", "b"]),
        ("a\n", 3, ["a"]),
        ("a\nb\nc\n", 2, ["b", "c"]),
        ("a\nb\nc", 2, ["b", "c"]),
        ("\n\n\n", 2, ["", ""]),
        ("x" * 200_000 + "\nlast\n", 1, ["last"]),
        ("line\n" * 50_000, 3, ["line"] * 3),
    ],
)
async def test_the_last_lines(tmp_path: Path, text: str, count: int, lines: list[str]) -> None:
    path = tmp_path / "x.log"
    path.write_text(text)
    follower = logfiles.Follower()
    try:
        pieces = [piece async for piece in logfiles.read(follower, path, tail=count)]
    finally:
        follower.close()
    assert b"".join(pieces).decode().splitlines() == lines


async def test_a_follower_sees_the_end_and_what_comes_after(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("one\ntwo\n")
    follower = logfiles.Follower()
    try:
        async with aclosing(logfiles.read(follower, path, tail=1, follow=True)) as pieces:
            assert await anext(pieces) == b"two\n"
            with path.open("a") as file:
                file.write("three\n")
            assert await anext(pieces) == b"three\n"
    finally:
        follower.close()


async def test_without_follow_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("one\ntwo\n")
    follower = logfiles.Follower()
    try:
        assert [piece async for piece in logfiles.read(follower, path)] == [b"one\ntwo\n"]
    finally:
        follower.close()


async def at_rest(clock: FakeClock, keeping: asyncio.Task[None]) -> None:
    """The round over all logs has ended: it waits for the next one."""
    while clock.next_at is None:
        assert not keeping.done()
        await asyncio.to_thread(int)


async def test_a_log_that_has_grown_large_is_put_aside_while_it_is_written_and_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "KEEP_BYTES", 5)
    path, clock = tmp_path / "x.log", FakeClock()
    log = logs.configure("supervisor", level="error", form="text", clock=clock)
    follower = logfiles.Follower()
    try:
        async with asyncio.TaskGroup() as group:
            with path.open("ab", buffering=0) as writer:
                writer.write(b"small")
                keeping = group.create_task(logfiles.keep_small([tmp_path / "none.log", path], clock, log))
                async with aclosing(logfiles.read(follower, path, follow=True)) as pieces:
                    assert await anext(pieces) == b"small"
                    writer.write(b" no more")
                    assert await anext(pieces) == b" no more"
                    aside = tmp_path / "x.log.1"
                    while not aside.exists() or path.stat().st_size:
                        await at_rest(clock, keeping)
                        await clock.advance(logfiles.LOOK_SECONDS)
                    await at_rest(clock, keeping)  # else this round would put aside what is written next
                    writer.write(b"afresh")
                    assert await anext(pieces) == b"afresh"
            keeping.cancel()
    finally:
        follower.close()
    assert aside.read_bytes() == b"small no more"
    assert path.read_bytes() == b"afresh"
