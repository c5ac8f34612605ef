"""Files that change together: what a container sees before, during and after a change."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kubelab.kubelet.volumes import atomicwriter
from kubelab.kubelet.volumes.atomicwriter import File


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def seen(folder: Path) -> dict[str, bytes]:
    """What a program finds that does not look at hidden names."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in names(folder)
        if not name.startswith("..")
        for path in ([folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*")))
        if path.is_file()
    }


def files(**contents: str) -> dict[str, File]:
    return {name.replace("__", "/"): File(text.encode(), 0o644) for name, text in contents.items()}


def test_the_layout_is_upstreams(tmp_path: Path) -> None:
    assert atomicwriter.write(tmp_path, files(a="1", sub__b="2"), now=0.0)
    assert seen(tmp_path) == {"a": b"1", "sub/b": b"2"}
    version = str((tmp_path / "..data").readlink())
    assert version.startswith("..1970_01_01_00_00_00.")
    assert (str((tmp_path / "a").readlink()), str((tmp_path / "sub").readlink())) == ("..data/a", "..data/sub")


def test_a_change_is_one_step_and_leaves_no_old_version(tmp_path: Path) -> None:
    atomicwriter.write(tmp_path, files(a="1", b="1"), now=0.0)
    opened = os.open(tmp_path, os.O_RDONLY)
    old = (tmp_path / "..data").resolve()
    assert atomicwriter.write(tmp_path, files(a="2", c="2"), now=1.0)
    os.close(opened)
    assert seen(tmp_path) == {"a": b"2", "c": b"2"}
    assert not old.exists()
    assert len([name for name in names(tmp_path) if name.startswith("..")]) == 2


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    atomicwriter.write(tmp_path, files(a="1"), now=0.0)
    before = str((tmp_path / "..data").readlink())
    assert not atomicwriter.write(tmp_path, files(a="1"), now=1.0)
    assert str((tmp_path / "..data").readlink()) == before


def test_no_files_are_files_too(tmp_path: Path) -> None:
    """An optional config map that is not there, and then is taken away again."""
    assert atomicwriter.write(tmp_path, {}, now=0.0)
    assert not atomicwriter.write(tmp_path, {}, now=0.0)
    assert atomicwriter.write(tmp_path, files(a="1"), now=0.0)
    assert atomicwriter.write(tmp_path, {}, now=0.0)
    assert seen(tmp_path) == {}


@pytest.mark.parametrize("stage", ["a version that nothing points to", "a link that was not renamed", "links missing"])
def test_a_write_that_was_cut_short_is_finished(tmp_path: Path, stage: str) -> None:
    atomicwriter.write(tmp_path, files(a="1"), now=0.0)
    match stage:
        case "a version that nothing points to":
            (tmp_path / "..2026_01_01_00_00_00.half").mkdir()
            (tmp_path / "..2026_01_01_00_00_00.half" / "a").write_text("2")
        case "a link that was not renamed":
            (tmp_path / "..data_tmp").symlink_to("..2026_gone")
        case _:
            (tmp_path / "a").unlink()
    atomicwriter.write(tmp_path, files(a="2"), now=1.0)
    assert seen(tmp_path) == {"a": b"2"}
    assert sorted(name for name in names(tmp_path) if name.startswith("..")) == sorted(
        ["..data", str((tmp_path / "..data").readlink())]
    )


def test_modes_do_not_depend_on_the_umask_and_a_token_is_its_users(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        atomicwriter.write(tmp_path, {"run": File(b"", 0o555), "token": File(b"t", 0o600, 1234)}, now=0.0)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o555
    assert ((tmp_path / "token").stat().st_uid, stat.S_IMODE((tmp_path / "token").stat().st_mode)) == (1234, 0o600)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "..data", "..x/y", ""])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="invalid path"):
        atomicwriter.write(tmp_path, {path: File(b"", 0o644)}, now=0.0)
    assert not names(tmp_path)
