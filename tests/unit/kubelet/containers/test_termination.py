"""Termination messages: where the file lies, and what is read of one that a container may have made anything of."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.containers import termination
from kubelab.kubelet.cri.views import MESSAGE_PATH_ANNOTATION, MESSAGE_POLICY_ANNOTATION

PLACE = "/dev/termination-log"


def ended(path: Path, *, policy: str = "File", code: int = 1, log: Path | None = None) -> cri.ContainerStatus:
    return cri.ContainerStatus(
        state=cri.CONTAINER_EXITED,
        exit_code=code,
        annotations={MESSAGE_PATH_ANNOTATION: PLACE, MESSAGE_POLICY_ANNOTATION: policy},
        mounts=[cri.Mount(container_path=PLACE, host_path=str(path))],
        log_path=str(log or ""),
    )


def test_every_user_may_write_the_file_but_only_the_kubelet_reaches_it(tmp_path: Path) -> None:
    path = termination.make(tmp_path / "pod", "web", 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_bytes() == b""


def test_the_files_of_the_last_two_attempts_stay(tmp_path: Path) -> None:
    other = termination.make(tmp_path, "web-2", 0)
    paths = [termination.make(tmp_path, "web", attempt) for attempt in range(4)]
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert other.exists()


def test_a_file_that_is_there_already_is_replaced_and_not_followed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    first = termination.make(tmp_path, "web", 0)
    first.unlink()
    first.symlink_to(canary)
    path = termination.make(tmp_path, "web", 0)
    assert not path.is_symlink()
    assert canary.read_text() == "untouched"
    assert stat.S_IMODE(canary.stat().st_mode) != 0o666


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b"", ""),
        (b"no disk\n", "no disk\n"),
        (b"a" * 10 + b"b" * termination.MAX_BYTES, "b" * termination.MAX_BYTES),
        (b"\xff\0x", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}x"),
    ],
)
async def test_the_end_of_the_file_is_the_message(tmp_path: Path, written: bytes, told: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(written)
    status = ended(path)
    await termination.read_all([status])
    assert status.message == told


async def test_the_runtimes_own_message_stands_before_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    status = ended(path)
    status.message = "killed"
    await termination.read_all([status])
    assert status.message == "killed: mine"


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "missing"])
async def test_nothing_but_a_regular_file_is_read(tmp_path: Path, kind: str) -> None:
    secret, path = tmp_path / "secret", tmp_path / "file"
    secret.write_text("secret")
    match kind:
        case "link":
            path.symlink_to(secret)
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            pass
    status = ended(path)
    await termination.read_all([status])
    assert status.message == (
        "Error on reading termination log: Too many levels of symbolic links" if kind == "link" else ""
    )


@pytest.mark.parametrize(
    ("policy", "code", "written", "told"),
    [
        ("FallbackToLogsOnError", 1, "", "line 98\nline 99\n"),
        ("FallbackToLogsOnError", 1, "own", "own"),
        ("FallbackToLogsOnError", 0, "", ""),
        ("File", 1, "", ""),
    ],
)
async def test_the_log_stands_in_for_an_empty_file_of_a_failure(
    tmp_path: Path, policy: str, code: int, written: str, told: str
) -> None:
    path, log = tmp_path / "file", tmp_path / "0.log"
    path.write_text(written)
    log.write_text("".join(f"2026-01-01T00:00:00Z stdout F line {n}\n" for n in range(100)))
    status = ended(path, policy=policy, code=code, log=log)
    await termination.read_all([status])
    if policy == "File" or written or not code:
        assert status.message == told
    else:
        assert status.message.splitlines() == [f"line {n}" for n in range(20, 100)]
    log.write_text("".join(f"2026-01-01T00:00:00Z stdout F {n:0100}\n" for n in range(100)))
    again = ended(path, policy=policy, code=code, log=log)
    await termination.read_all([again])
    assert len(again.message) <= termination.MAX_LOG_BYTES


async def test_a_message_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("first")
    status = ended(path)
    status.id = "c0"
    texts = await termination.read_all([status])
    assert texts == {"c0": "first"}
    path.write_text("changed by somebody else, later")
    again = ended(path)
    again.id, again.message = "c0", "killed"
    assert await termination.read_all([again], texts) == texts
    assert again.message == "killed: first"


async def test_a_message_that_could_not_be_read_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.symlink_to(tmp_path)
    status = ended(path)
    status.id = "c0"
    assert await termination.read_all([status]) == {}
    assert status.message.startswith("Error on reading termination log: ")
    path.unlink()
    path.write_text("there")
    again = ended(path)
    again.id = "c0"
    assert await termination.read_all([again], {}) == {"c0": "there"}


async def test_a_running_container_has_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("not yet")
    status = ended(path)
    status.state = cri.CONTAINER_RUNNING
    await termination.read_all([status])
    assert not status.message
