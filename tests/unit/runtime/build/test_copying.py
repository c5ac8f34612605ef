"""COPY over generated trees full of links: whatever they say, nothing outside of the two roots is read or changed."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubelab.runtime.build import sources, stubs
from kubelab.runtime.build.copying import Copier, CopyFault, make_folders
from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.rootfs.inroot import Root

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: all that is copied belongs to it")

SECRET = b"of the machine"
NAMES = ["a", "b", "c", "dir"]
LINKS = [
    "/",
    "..",
    "../..",
    "a",
    "b/c",
    "/dir",
    "/a/b",
    "loop",
    "../../../canary",
    "/canary/secret",
    "CANARY",
    "CANARY/secret",
]
KINDS = ["file", "folder", "link", "fifo", "socket", "hard link"]
entries = st.lists(
    st.tuples(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), st.sampled_from(KINDS), st.sampled_from(LINKS)),
    max_size=8,
)
paths = st.lists(st.sampled_from([*NAMES, "..", "*", "?", "CANARY"]), min_size=1, max_size=3).map("/".join)


def fill(folder: Path, tree: list[tuple[list[str], str, str]], canary: Path) -> None:
    """Make what can be made; it may be anything but lead the maker himself out of the folder."""
    with Root.at(folder) as root:
        for parts, kind, link in tree:
            path = "/".join(parts)
            with contextlib.suppress(OSError):
                root.make_folders("/".join(parts[:-1]))
                if kind == "folder":
                    root.mkdir(path)
                elif kind == "link":
                    root.symlink(link.replace("CANARY", str(canary)), path)
                elif kind == "fifo":
                    root.mknod(path, stat.S_IFIFO | 0o600)
                elif kind == "hard link":
                    root.link("a", path)
                elif kind == "socket":
                    with root.parent(path) as (fd, name), socket.socket(socket.AF_UNIX) as made:
                        made.bind(f"/proc/self/fd/{fd}/{name}")
                else:
                    with root.create(path) as file:
                        file.write(b"of the context")


def seen(folder: Path) -> list[tuple[str, int, int, int, bytes]]:
    """Everything about a tree that a copy could change or show that it was read."""

    def walk() -> Iterator[tuple[str, int, int, int, bytes]]:
        for path in [folder, *sorted(folder.rglob("*"))]:
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            yield str(path), status.st_mode, status.st_uid, status.st_mtime_ns, content

    return list(walk())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copying")


@given(source=entries, target=entries, pattern=paths, to=paths, unpacked=st.booleans())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_outside_of_the_roots_is_read_or_changed(
    folder: Path,
    source: list[tuple[list[str], str, str]],
    target: list[tuple[list[str], str, str]],
    pattern: str,
    to: str,
    unpacked: bool,
) -> None:
    place = folder / os.urandom(6).hex()
    canary, here, there = place / "canary", place / "x/source", place / "x/target"
    for made in (canary, here, there):
        made.mkdir(parents=True)
    (canary / "secret").write_bytes(SECRET)
    fill(here, source, canary)
    fill(there, target, canary)
    before = seen(canary), seen(here)
    pattern, to = pattern.replace("CANARY", str(canary)), to.replace("CANARY", str(canary))
    with Root.at(here) as origin, Root.at(there) as root:
        with contextlib.suppress(SyntaxFault, CopyFault, OSError):
            found = sources.find(origin, pattern)
            sources.digest(origin, found)
            for one in found:
                copier = Copier(origin, root, None, None, lambda: None)
                copier.keep_owner = copier.keep_links = unpacked
                copier.copy(one.path, one.name, f"/{to}/")
        with contextlib.suppress(CopyFault, OSError):
            make_folders(root, to, (1, 2))
    stubs.remove(there, [here], [to, pattern], None)
    assert (seen(canary), seen(here)) == before
    assert sorted(os.listdir(place) + os.listdir(place / "x")) == ["canary", "source", "target", "x"]  # noqa: PTH208
    assert SECRET not in [content for _, _, _, _, content in seen(there)]


def test_files_and_folders_at_mount_points_leave_what_was_written(tmp_path: Path) -> None:
    written, layer = tmp_path / "written", tmp_path / "layer"
    for made in (written / "etc", written / "mnt/deep/cache", written / "kept/full", written / "run", layer / "run"):
        made.mkdir(parents=True)
    for empty in ("etc/hosts", "run/resolv", "etc/own"):
        (written / empty).touch()
    (written / "kept/full/file").write_text("x")
    (written / "etc/resolv.conf").symlink_to("../run/resolv")
    stubs.remove(
        written, [layer], ["/etc/hosts", "/etc/resolv.conf", "/mnt/deep/cache", "/kept/full", "/run", "/no"], None
    )
    left = sorted(str(path.relative_to(written)) for path in written.rglob("*"))
    assert left == ["etc", "etc/own", "etc/resolv.conf", "kept", "kept/full", "kept/full/file", "run", "run/resolv"]
