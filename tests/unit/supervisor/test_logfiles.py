"""The end of a log, and what is added to it."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from kubelab.supervisor import logfiles


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


def test_a_large_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "KEEP_BYTES", 3)
    path = tmp_path / "x.log"
    path.write_text("four")
    logfiles.rotate(path)
    assert not path.exists()
    assert (tmp_path / "x.log.1").read_text() == "four"
