"""What COPY and ADD do to a root, which links of that root lead nowhere else."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from kubelab.runtime.copying import copy_into


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    return info


def archive(path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for one in members:
            if isinstance(one, tuple):
                info = tarfile.TarInfo(one[0])
                info.size = len(one[1])
                tar.addfile(info, io.BytesIO(one[1]))
            else:
                tar.addfile(one)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "usr/bin").mkdir(parents=True)
    return made


def test_an_archive_is_extracted_into_a_folder_and_stays_one_when_it_is_copied(tmp_path: Path, root: Path) -> None:
    source = archive(tmp_path / "t.tgz", ("a/file", b"1"), member("a/hard", tarfile.LNKTYPE, "a/file"))
    copy_into(root, [(source, "/x", True), (source, "/y/", False)])
    assert (root / "x/a/file").read_bytes() == (root / "x/a/hard").read_bytes() == b"1"
    assert [path.name for path in (root / "y").iterdir()] == ["t.tgz"]


def test_an_archive_follows_the_links_of_the_root_as_the_root_sees_them(tmp_path: Path, root: Path) -> None:
    (root / "bin").symlink_to("/usr/bin")
    (root / "usr/bin/tool").symlink_to(tmp_path / "outside")
    source = archive(tmp_path / "t.tar", member("bin", tarfile.DIRTYPE), ("bin/tool", b"new"), ("../../up", b""))
    copy_into(root, [(source, "/", True)])
    assert (root / "bin").is_symlink()
    assert (root / "usr/bin/tool").read_bytes() == b"new"
    assert (root / "up").exists()
    assert not (tmp_path / "outside").exists()


def test_an_archive_that_is_cut_off_is_named(tmp_path: Path, root: Path) -> None:
    source = tmp_path / "t.tar"
    info = tarfile.TarInfo("a")
    info.size = 1000
    source.write_bytes(info.tobuf() + b"x" * 100)
    with pytest.raises(ValueError, match=r"^t\.tar: "):
        copy_into(root, [(source, "/", True)])
