"""Files that are whole or not there."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from kubelab.files import atomicfile


def test_a_file_is_replaced_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old, and longer")
    atomicfile.write(path, "grüße", durable=True)
    assert path.read_bytes() == "grüße".encode()
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("mode", "umask", "seen"), [(0o666, 0o022, 0o644), (0o600, 0o022, 0o600), (0o666, 0o077, 0o600)]
)
def test_a_key_is_never_readable_by_others(tmp_path: Path, mode: int, umask: int, seen: int) -> None:
    before = os.umask(umask)
    try:
        atomicfile.write(tmp_path / "key", b"secret", mode=mode)
    finally:
        os.umask(before)
    assert (tmp_path / "key").stat().st_mode & 0o777 == seen


@pytest.mark.root
def test_the_owner_is_set_before_the_file_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    replace = Path.replace

    def look(part: Path, path: Path) -> Path:
        seen.append((part.stat().st_uid, part.stat().st_gid))
        return replace(part, path)

    monkeypatch.setattr(Path, "replace", look)
    atomicfile.write(tmp_path / "key", b"secret", owner=(12, 34))
    assert seen == [(12, 34)]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomicfile, "flush", full)
    with pytest.raises(OSError, match="No space"):
        atomicfile.write(path, "new", durable=True)
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_in_the_files_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "state.json").symlink_to(other)
    atomicfile.write(tmp_path / "state.json", "new")
    assert other.read_text() == "mine"
    assert not (tmp_path / "state.json").is_symlink()


def test_of_many_writers_one_wins_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    contents = [str(n) * 100_000 for n in range(8)]
    threads = [threading.Thread(target=atomicfile.write, args=(path, content)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            assert path.read_text() in contents
    for thread in threads:
        thread.join()
    assert path.read_text() in contents
    assert [*tmp_path.iterdir()] == [path]
