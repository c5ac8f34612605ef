"""Where a container's files are mounted: made in its root as its links say."""

from pathlib import Path
from typing import Any

import pytest

from kubelab.runtime.rootfs import mountpoints
from kubelab.runtime.rootfs.inroot import Root


def bundle(cwd: str, *binds: tuple[Path, str]) -> dict[str, Any]:
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/dev", "type": "tmpfs"}]
    mounts += [{"destination": "/dev/pts", "type": "devpts", "source": "devpts"}]
    mounts += [{"destination": place, "type": "bind", "source": str(source)} for source, place in binds]
    return {"process": {"cwd": cwd}, "mounts": mounts}


def test_what_is_missing_is_made_where_links_lead(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "var").mkdir(parents=True)
    (root / "var/run").symlink_to("/run")
    (root / "etc").symlink_to("../../outside")
    (root / "app").symlink_to(outside)
    (root / "kept").write_text("as it was")
    outside.mkdir()
    file = tmp_path / "file"
    file.touch()
    with Root.at(root) as opened:
        for _ in range(2):
            mounts = [
                (outside, "/var/run/secrets"),
                (file, "/etc/hosts"),
                (file, "/kept"),
                (file, "/dev/termination-log"),
            ]
            mountpoints.make(bundle("/app/work", *mounts), opened)
    assert (root / "run/secrets").is_dir()
    assert (root / "outside/hosts").read_bytes() == b""
    assert (root / str(outside).lstrip("/") / "work").is_dir()
    assert (root / "kept").read_text() == "as it was"
    assert (root / "proc").is_dir()
    assert list((root / "dev").iterdir()) == []  # what is mounted there covers the rest
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("place", ["/loop/x", "/file/x"])
def test_a_place_that_cannot_be_is_told(tmp_path: Path, place: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    with Root.at(tmp_path) as opened, pytest.raises(OSError, match=f"failed to make {place} in the root"):
        mountpoints.make(bundle("/", (tmp_path, place)), opened)
