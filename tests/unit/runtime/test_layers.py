"""Layers: what unpacking keeps, what it refuses, and the way back."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kubelab.runtime import layers
from kubelab.runtime.layers import BadLayer


def archive(*members: tarfile.TarInfo | tuple[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            if isinstance(member, tuple):
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
            else:
                tar.addfile(member)
    buffer.seek(0)
    return buffer


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    return info


def test_files_links_and_absolute_names_land_inside(tmp_path: Path) -> None:
    layers.unpack(
        archive(
            ("/etc/a", b"1"),
            member("etc/absolute", tarfile.SYMTYPE, "/etc/a"),
            member("etc/hard", tarfile.LNKTYPE, "etc/a"),
        ),
        tmp_path,
    )
    assert (tmp_path / "etc/hard").read_bytes() == b"1"
    assert str((tmp_path / "etc/absolute").readlink()) == "/etc/a"


def test_devices_of_an_image_are_left_out(tmp_path: Path) -> None:
    disk = member("dev/disk", tarfile.BLKTYPE)
    layers.unpack(archive(disk, member("dev/mem", tarfile.CHRTYPE), ("a", b"")), tmp_path)
    assert not (tmp_path / "dev/disk").exists()
    assert not (tmp_path / "dev/mem").exists()
    assert (tmp_path / "a").exists()


BAD: dict[str, Callable[[Path], io.BytesIO]] = {  # given a folder outside of the layer
    "parent": lambda out: archive(("../evil", b"")),
    "by an absolute link": lambda out: archive(member("link", tarfile.SYMTYPE, str(out)), ("link/evil", b"")),
    "by a relative link": lambda out: archive(member("link", tarfile.SYMTYPE, "../outside"), ("link/evil", b"")),
    "hard link": lambda out: archive(member("hard", tarfile.LNKTYPE, "../outside/secret")),
    "no tar": lambda out: io.BytesIO(b"this is no tar" * 100),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_nothing_lands_outside(bad: Callable[[Path], io.BytesIO], tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "layer"
    outside.mkdir()
    target.mkdir()
    (outside / "secret").write_text("s")
    with pytest.raises(BadLayer):
        layers.unpack(bad(outside), target)
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "layer"}
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert not (target / "hard").exists()


@pytest.mark.root
def test_whiteouts_there_and_back(tmp_path: Path) -> None:
    target = tmp_path / "layer"
    target.mkdir()
    layers.unpack(archive(("etc/.wh.gone", b""), ("var/.wh..wh..opq", b""), ("etc/here", b"x")), target)
    status = (target / "etc/gone").stat()
    assert (target / "etc/gone").is_char_device()
    assert status.st_rdev == 0
    packed = io.BytesIO()
    layers.pack(target, packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        assert sorted(tar.getnames()) == ["etc", "etc/.wh.gone", "etc/here", "var", "var/.wh..wh..opq"]
