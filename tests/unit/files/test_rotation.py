"""Logs that have grown too long."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.files import rotation

ROTATIONS = [rotation.by_renaming, rotation.by_copying]


@pytest.mark.parametrize("rotate", ROTATIONS)
def test_a_log_that_is_not_too_long_or_not_there_stays(rotate: rotation.Rotate, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    rotate(path, 3)
    path.write_text("abc")
    rotate(path, 3)
    assert path.read_text() == "abc"
    assert not rotation.previous(path).exists()


@pytest.mark.parametrize("rotate", ROTATIONS)
def test_only_the_part_before_the_present_one_is_kept(rotate: rotation.Rotate, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for text in ("first", "second"):
        path.write_text(text)
        rotate(path, 3)
    assert rotation.previous(path).read_text() == "second"
    assert not path.exists() or path.read_text() == ""


def test_a_copied_log_goes_on_under_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("a") as writer:
        print("before", file=writer, flush=True)
        rotation.by_copying(path, 3)
        print("after", file=writer, flush=True)
    assert rotation.previous(path).read_text() == "before\n"
    assert path.read_text() == "after\n"
    assert rotation.previous(path).stat().st_mode & 0o777 == 0o600
