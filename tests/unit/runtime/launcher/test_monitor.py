"""The CRI's log format, read back with nothing but its definition."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.runtime.launcher import logsink
from kubelab.runtime.launcher.logsink import LOG_LINE, LogSink
from kubelab.runtime.launcher.monitor import as_runc

ENTRY = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (stdout|stderr) ([PF]) (.*)")


def entries(content: bytes) -> list[tuple[str, str, bytes]]:
    found: list[tuple[str, str, bytes]] = []
    for line in content.split(b"\n")[:-1]:
        match = ENTRY.fullmatch(line)
        assert match, line
        found.append((match[2].decode(), match[3].decode(), match[4]))
    return found


def written(path: Path, pieces: Iterable[tuple[str, bytes]]) -> list[tuple[str, str, bytes]]:
    path.unlink(missing_ok=True)
    sink = LogSink(str(path))
    for stream, data in pieces:
        sink.write(stream, data)
    sink.flush()
    return entries(path.read_bytes())


def test_lines_of_both_streams_and_one_that_never_ends(tmp_path: Path) -> None:
    pieces = [("stdout", b"one\ntw"), ("stderr", b"bad\n"), ("stdout", b"o\n\nend")]
    assert written(tmp_path / "log", pieces) == [
        ("stdout", "F", b"one"),
        ("stderr", "F", b"bad"),
        ("stdout", "F", b"two"),
        ("stdout", "F", b""),
        ("stdout", "F", b"end"),
    ]


def test_long_lines_are_written_in_parts(tmp_path: Path) -> None:
    found = written(tmp_path / "log", [("stdout", b"x" * (2 * LOG_LINE + 5) + b"\ny\n")])
    assert [(tag, len(text)) for _, tag, text in found] == [("P", LOG_LINE), ("P", LOG_LINE), ("F", 5), ("F", 1)]


@given(pieces=st.lists(st.binary(max_size=50).map(lambda data: data.replace(b"\r", b"")), max_size=12))
def test_no_byte_is_lost_however_output_is_cut(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "cut"
    found = written(path, [("stdout", data) for data in pieces])
    assert b"\n".join(text for _, _, text in found) == b"".join(pieces).removesuffix(b"\n")


def test_a_log_that_was_moved_away_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    sink = LogSink(str(path))
    sink.write("stdout", b"old\n")
    path.rename(tmp_path / "0.log.1")
    sink.reopen()
    sink.write("stdout", b"new\n")
    assert [text for _, _, text in entries(path.read_bytes())] == [b"new"]
    assert [text for _, _, text in entries((tmp_path / "0.log.1").read_bytes())] == [b"old"]


def test_reopening_in_the_middle_of_a_write_is_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "0.log"
    sink = LogSink(str(path))
    write, cut = logsink.os.write, list[int]()

    def interrupted(fd: int, data: bytes) -> int:
        if not cut:  # the signal comes now, with the descriptor already looked up
            cut.append(fd)
            path.rename(tmp_path / "0.log.1")
            sink.reopen()
        return write(fd, data)

    monkeypatch.setattr(logsink.os, "write", interrupted)
    sink.write("stdout", b"kept\n")
    assert [text for _, _, text in entries(path.read_bytes())] == [b"kept"]


def test_a_full_disk_loses_lines_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    sink = LogSink("/dev/full")
    sink.write("stdout", b"one\n")
    sink.write("stdout", b"two\n")
    assert capfd.readouterr().err.count("lines are lost") == 1


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            "executable file `nope` not found in $PATH: No such file or directory",
            'exec: "nope": executable file not found in $PATH: unknown',
        ),
        (
            "executable file `/no/such` not found in $PATH: No such file or directory",
            'exec: "/no/such": stat /no/such: no such file or directory: unknown',
        ),
        ("cannot mount", "cannot mount"),
    ],
)
def test_why_a_container_does_not_start(told: str, expected: str) -> None:
    assert as_runc(told) == expected
