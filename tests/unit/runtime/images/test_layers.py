"""Layers: what unpacking keeps, what it refuses, that it touches nothing else, and the way back."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import socket
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kubelab.runtime.images import layers, packing
from kubelab.runtime.images.layers import BadLayer
from kubelab.runtime.images.store import Store
from kubelab.runtime.oci.limits import Budget, Limits
from tests.unit.runtime.images import layermodel
from tests.unit.runtime.images.layermodel import Entry, Refused

BIND = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service+ep, of version 2


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


def member(name: str, kind: bytes, link: str = "", **more: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    for key, value in more.items():
        setattr(info, key, value)
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


def test_devices_of_an_image_are_left_out_and_a_fifo_is_kept(tmp_path: Path) -> None:
    disk = member("dev/disk", tarfile.BLKTYPE)
    again = member("dev/again", tarfile.LNKTYPE, "dev/disk")
    fifo = member("run/fifo", tarfile.FIFOTYPE)
    layers.unpack(archive(disk, again, member("dev/mem", tarfile.CHRTYPE), ("a", b""), fifo), tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "fifo", "run"]
    assert stat.S_ISFIFO((tmp_path / "run/fifo").stat().st_mode)


def endless() -> io.BytesIO:
    """A size below zero, which leads back to the same header."""
    content = bytearray(archive(("a", b"")).getvalue())
    content[124:136] = b"\xff" * 10 + b"\xfe\x00"  # -512, base 256
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    return io.BytesIO(bytes(content))


def cut(archive: io.BytesIO, size: int) -> io.BytesIO:
    return io.BytesIO(archive.getvalue()[:size])


def damaged(archive: io.BytesIO) -> io.BytesIO:
    """With a second header that is none."""
    content = bytearray(archive.getvalue())
    content[1024] ^= 1
    return io.BytesIO(bytes(content))


def spread(map_: str, *, size: str = "4") -> io.BytesIO:
    """A file with holes, as GNU tar's format 0.1 has it."""
    info = tarfile.TarInfo("sparse")
    info.size = 4
    info.pax_headers = {"GNU.sparse.map": map_, "GNU.sparse.size": size, "GNU.sparse.name": "sparse"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(b"data"))
    buffer.seek(0)
    return buffer


def with_pax(**headers: str) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a")
        info.pax_headers = headers
        tar.addfile(info)
    buffer.seek(0)
    return buffer


BAD: dict[str, tuple[Callable[[], io.BytesIO], str]] = {
    "parent": (lambda: archive(("../evil", b"")), "../evil: leads out of the layer"),
    "parent, later": (lambda: archive(("a/../../evil", b"")), "leads out of the layer"),
    "hard link out": (lambda: archive(member("h", tarfile.LNKTYPE, "../outside/s")), "h: leads out of the layer"),
    "hard link to a lower layer": (
        lambda: archive(member("h", tarfile.LNKTYPE, "etc/passwd")),
        "h: a hard link to etc/passwd, which is not in this layer before it",
    ),
    "hard link to a folder": (
        lambda: archive(member("d", tarfile.DIRTYPE), member("h", tarfile.LNKTYPE, "d")),
        "a hard link to d, which is a folder",
    ),
    "below a file": (lambda: archive(("a", b""), ("a/b", b"")), "a/b: Not a directory"),
    "links in a circle": (
        lambda: archive(
            member("a", tarfile.SYMTYPE, "b"), member("b", tarfile.SYMTYPE, "a"), ("a/x", b"")
        ),
        "Too many levels of symbolic links",
    ),
    "user id": (lambda: archive(member("a", tarfile.REGTYPE, uid=2**32 - 1)), "the user id 4294967295 is not between"),
    "group id": (lambda: archive(member("a", tarfile.DIRTYPE, gid=2**40)), "the group id 1099511627776 is not between"),
    "unknown type": (lambda: archive(member("a", b"Z")), "unknown type"),
    "long name": (lambda: archive(("a" * 256, b"")), "File name too long"),
    "NUL": (lambda: with_pax(path="a\0b"), "a name with a NUL"),
    "whiteout of nothing": (lambda: archive((".wh.", b"")), "a whiteout of no name"),
    "whiteout of the folder above": (lambda: archive(("a/.wh...", b"")), "a whiteout of no name"),
    "whiteout as a folder": (lambda: archive((".wh.a/b", b"")), "a whiteout is not a folder"),
    "no tar": (lambda: io.BytesIO(b"this is no tar" * 100), "not a tar archive, or a damaged one"),
    "empty file": (lambda: io.BytesIO(b""), "the archive is empty"),
    "cut off in a header": (lambda: cut(archive(("a", b""), ("b", b"")), 700), "the archive is cut off"),
    "cut off in a file": (lambda: cut(archive(("a", b"x" * 2000)), 1500), "the archive is cut off in a"),
    "damaged": (lambda: damaged(archive(("a", b"x"), ("b", b"y"))), "a damaged one: bad checksum"),
    "cut off gzip": (lambda: io.BytesIO(gzip.compress(archive(("a", b"")).getvalue())[:-20]), "is cut off"),
    "size below zero": (endless, "a size below zero"),
    "map of holes backwards": (lambda: spread("3,1,0,1"), "a map of holes that makes no sense"),
    "map of holes below zero": (lambda: spread("-5,1"), "a map of holes that makes no sense"),
    "map of holes beyond the end": (lambda: spread("0,40"), "a map of holes that makes no sense"),
    "map of holes in words": (lambda: spread("a,b"), "a header makes no sense"),
    "many long names": (
        lambda: archive(*[member("././@LongLink", tarfile.GNUTYPE_LONGNAME) for _ in range(2000)]),
        "a header makes no sense",
    ),
    "pax header of nonsense": (
        lambda: archive(("a", b""), member("x", tarfile.XHDTYPE, size=9)),
        "not a tar archive, or a damaged one",
    ),
}  # fmt: skip


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """A layer's folder beside one that nothing may touch."""
    outside, target = tmp_path / "outside", tmp_path / "layer"
    outside.mkdir()
    target.mkdir()
    (outside / "s").write_text("secret")
    yield target
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer", "outside"]
    assert [path.name for path in outside.iterdir()] == ["s"]
    assert (outside / "s").stat().st_nlink == 1


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_layer_is_refused_in_words(name: str, target: Path) -> None:
    bad, told = BAD[name]
    with pytest.raises(BadLayer) as caught:
        layers.unpack(bad(), target)
    assert told in str(caught.value)


def test_a_header_of_gigabytes_is_not_read(target: Path) -> None:
    huge = member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=3 << 30)
    with pytest.raises(BadLayer, match="a header of the archive is larger than 4194304 bytes"):
        layers.unpack(archive(huge), target)


@pytest.mark.parametrize("link", ["/outside", "../outside", "../../../outside", "{outside}"])
def test_links_on_the_way_are_followed_inside_the_layer(link: str, target: Path) -> None:
    link = link.format(outside=target.parent / "outside")
    layers.unpack(archive(member("link", tarfile.SYMTYPE, link), ("link/new", b"x")), target)
    within = target / (link.lstrip("/") if link.startswith("/") else "outside")
    assert (within / "new").read_bytes() == b"x"
    assert (target / "link").is_symlink()


LIMITS = Limits(bytes=5000, entries=5, depth=3, ratio=4, ratio_from=2000)
BOMBS: dict[str, tuple[Callable[[], io.BytesIO], str]] = {
    "files": (lambda: archive(*[(f"f{n}", b"") for n in range(6)]), "too large: more than 5 files"),
    "bytes": (lambda: archive(("a", b"x" * 5001)), "too large: more than 4.88281 KiB of files"),
    "holes": (lambda: spread("0,4", size="6000"), "too large: more than 4.88281 KiB of files"),
    "compressed": (lambda: io.BytesIO(gzip.compress(bytes(4000))), "grows to more than 4 times its size"),
    "depth": (lambda: archive(("a/b/c/d/e", b"")), "more than 3 folders deep"),
    "depth by links": (
        lambda: archive(member("a", tarfile.SYMTYPE, "b/c/d/e"), ("a/x", b"")),
        "more than 3 folders deep",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_unfold(name: str, target: Path) -> None:
    bomb, told = BOMBS[name]
    with pytest.raises(BadLayer) as caught:
        layers.unpack(bomb(), target, Budget(LIMITS))
    assert told in str(caught.value)
    assert sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) <= LIMITS.bytes


def test_an_uncompressed_bomb_counts_too(target: Path) -> None:
    content = gzip.compress(os.urandom(6000))
    with pytest.raises(BadLayer, match=r"more than 4.88281 KiB uncompressed"):
        layers.unpack(io.BytesIO(content), target, Budget(LIMITS))


def test_long_names_holes_odd_times_and_names_that_are_not_text(target: Path) -> None:
    long = "/".join(["folder" * 10] * 20)
    layers.unpack(archive((long, b"deep")), target)
    assert (target / long).read_bytes() == b"deep"
    layers.unpack(spread("1000000,4", size="3000000"), target)
    status = (target / "sparse").stat()
    assert status.st_size == 3_000_000
    assert status.st_blocks * 512 < 200_000
    assert (target / "sparse").read_bytes()[999_999:1_000_005] == b"\0data\0"
    for time in ("nan", "inf", "-1", "1e300"):
        layers.unpack(with_pax(mtime=time), target)
        assert (target / "a").stat().st_mtime == 0
    info = tarfile.TarInfo("b\udcff\udcfe")
    layers.unpack(archive(info), target)
    assert b"b\xff\xfe" in [os.fsencode(path.name) for path in target.iterdir()]


def test_a_folder_gets_its_time_after_its_files_and_missing_ones_their_mode(target: Path) -> None:
    before = os.umask(0o077)
    try:
        layers.unpack(archive(member("d", tarfile.DIRTYPE, mtime=7), ("d/f", b""), ("x/y/z", b"")), target)
    finally:
        os.umask(before)
    assert (target / "d").stat().st_mtime == 7
    assert [stat.S_IMODE((target / name).stat().st_mode) for name in ("x", "x/y")] == [0o755, 0o755]


# --- generated layers against the model, beside a tree that must be neither read nor changed

NAMES = [
    "a",
    "b",
    "c",
    "a/b",
    "a/b/c",
    "b/a",
    "c/a/b",
    "./a",
    "/b",
    "a//c/",
    "",
    ".",
    "a/../b",
    "..",
    "../a",
    "b/../../c",
]
WHITEOUTS = [
    ".wh.a",
    "a/.wh.b",
    "b/.wh.a",
    ".wh..wh..opq",
    "a/.wh..wh..opq",
    "a/b/.wh.c",
    ".wh.",
    "c/.wh...",
    ".wh.a/b",
]
TARGETS = [
    "a",
    "b",
    "c",
    "/a",
    "/a/b",
    "a/b",
    "../b",
    "..",
    "/",
    "/../../c",
    ".",
    "b/../c",
    "",
    "OUTSIDE",
    "OUTSIDE/s",
    "../outside",
]
XATTRS: list[tuple[tuple[str, bytes], ...]] = [
    (),
    (("user.x", b"1\0\xff"),),
    (("trusted.overlay.redirect", b"/a"), ("user.overlay.opaque", b"y")),
    (("security.capability", BIND),),
]


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(
        st.sampled_from(
            ["file", "file", "folder", "folder", "symlink", "symlink", "hardlink", "fifo", "block", "character"]
        )
    )
    name = draw(st.sampled_from(NAMES + WHITEOUTS if draw(st.booleans()) else NAMES))
    content = (
        draw(st.sampled_from(TARGETS)) if kind in ("symlink", "hardlink") else draw(st.sampled_from(["", "x", "yy"]))
    )
    xattrs = draw(st.sampled_from(XATTRS)) if kind in ("file", "folder") else ()
    if kind == "folder":
        xattrs = tuple(pair for pair in xattrs if pair[0] != "security.capability")
    modes = st.sampled_from([0o644, 0o755, 0o4755, 0o1777, 0o2700, 0o000])
    return Entry(
        name,
        kind,
        "" if kind in ("folder", "fifo") else content,
        draw(modes),
        draw(st.sampled_from([0, 0, 1000, 2**32 - 2])),
        5,
        xattrs,
    )


def described(folder: Path) -> dict[str, tuple[object, ...]]:
    """What is in a folder, in the model's words."""
    found: dict[str, tuple[object, ...]] = {"/": ("root", opaque(folder))}
    seen: dict[int, str] = {}

    def walk(top: Path, path: str) -> None:
        for name in sorted(path.name for path in top.iterdir()):
            here, status = top / name, (top / name).lstat()
            mode = stat.S_IMODE(status.st_mode)
            owned = (mode, status.st_uid, status.st_gid)
            kept = sorted(
                (key, os.getxattr(here, key, follow_symlinks=False))
                for key in os.listxattr(here, follow_symlinks=False)
                if key != layers.OPAQUE_XATTR
            )
            inside = f"{path}/{name}"
            if stat.S_ISDIR(status.st_mode):
                found[inside] = ("folder", opaque(here), *owned, kept)
                walk(here, inside)
            elif stat.S_ISCHR(status.st_mode):
                assert status.st_rdev == 0
                found[inside] = ("whiteout",)
            else:
                kind, content = "fifo", ""
                if stat.S_ISLNK(status.st_mode):
                    kind, content = "symlink", str(here.readlink())
                elif stat.S_ISREG(status.st_mode):
                    kind, content = "file", here.read_text()
                found[inside] = (kind, content, seen.setdefault(status.st_ino, inside), *owned, kept)

    walk(folder, "")
    return found


def unpacked(layer: list[Entry], target: Path) -> dict[str, tuple[object, ...]]:
    layers.apply(io.BytesIO(layermodel.archive(layer)), target)
    return described(target)


def outcome(of: Callable[[], object]) -> object:
    try:
        return of()
    except (BadLayer, Refused):
        return "refused"


def opaque(folder: Path) -> bool:
    return layers.OPAQUE_XATTR in os.listxattr(folder)


def canary(outside: Path) -> list[tuple[object, ...]]:
    """All that reading or changing a tree would change; times of access have to lie before those of change."""
    paths = [outside, *sorted(outside.rglob("*"))]
    return [
        (p, s.st_mode, s.st_uid, s.st_gid, s.st_nlink, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_atime_ns)
        for p, s in [(path, path.lstat()) for path in paths]
    ]


@pytest.mark.root
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(entries(), max_size=8))
@example([Entry(".wh.d"), Entry("d", "folder", mode=0o755), Entry("d/y")])
@example([Entry("d", "folder", mode=0o755), Entry("d/y"), Entry(".wh.d")])
@example([Entry(".wh.a", "hardlink", "../b")])
@example([Entry("opt", "symlink", "OUTSIDE"), Entry("opt/s", content="x")])
@example([Entry("a", "symlink", ".."), Entry("b", "hardlink", "a/outside/s")])
@example([Entry("a/b"), Entry("a", "hardlink", "a/b")])
@example([Entry("a/.wh.b"), Entry("a"), Entry("a/b")])
def test_a_layer_unpacks_to_what_the_model_says_and_touches_nothing_else(layer: list[Entry]) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    top = Path(tempfile.mkdtemp())
    try:
        outside, target = top / "outside", top / "layer"
        (outside / "d").mkdir(parents=True)
        (outside / "s").write_text("secret")
        target.mkdir()
        layer = [replace(entry, content=entry.content.replace("OUTSIDE", str(outside))) for entry in layer]
        before = canary(outside)
        for path, *_ in before:
            os.utime(str(path), (0, 1))  # so that reading it would show, also where times of access are noted rarely
        before = canary(outside)
        expected, found = outcome(lambda: layermodel.apply(layer)), outcome(lambda: unpacked(layer, target))
        assert canary(outside) == before
        assert sorted(path.name for path in top.iterdir()) == ["layer", "outside"]
        assert found == expected
    finally:
        shutil.rmtree(top)


def noisy() -> bytes:
    """An archive with every kind of header: PAX, GNU's long names and holes, links, a fifo."""
    parts = [spread("1000,4", size="4096").getvalue()]
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
            info = tarfile.TarInfo("n" * 150)
            info.size, info.pax_headers = 3, {"SCHILY.xattr.user.a": "b", "mtime": "1.5"}
            tar.addfile(info, io.BytesIO(b"abc"))
            tar.addfile(member("d", tarfile.DIRTYPE))
            tar.addfile(member("d/l", tarfile.SYMTYPE, "x" * 120))
            tar.addfile(member("h", tarfile.LNKTYPE, "n" * 150))
            tar.addfile(member("p", tarfile.FIFOTYPE))
        parts.append(buffer.getvalue())
    whole = [part[: (len(part.rstrip(b"\0")) + 511) // 512 * 512] for part in parts]  # without the ends
    return b"".join(whole) + bytes(1024)


NOISY = noisy()


def mended(content: bytes, place: int) -> bytes:
    """With the checksum of the header at a place made right again."""
    header = bytearray(content[place : place + 512].ljust(512, b"\0"))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return content[:place] + bytes(header) + content[place + 512 :]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(NOISY) - 1), st.binary(min_size=1, max_size=12)), max_size=3), st.booleans()
)
@example([(124, b"\xff" * 12)], True)
@example([(1024 + 124, b"\x80" + b"\xff" * 11)], True)
@example([(100, b"\xff" * 8)], True)
def test_any_bytes_are_a_layer_or_are_refused(changes: list[tuple[int, bytes]], right_checksums: bool) -> None:
    content = NOISY
    for place, noise in changes:
        content = content[:place] + noise + content[place + len(noise) :]
        if right_checksums:
            content = mended(content, place // 512 * 512)
    top = Path(tempfile.mkdtemp())
    try:
        (top / "layer").mkdir()
        with contextlib.suppress(BadLayer):
            layers.unpack(io.BytesIO(content), top / "layer", Budget(Limits(bytes=1 << 20)))
        assert [path.name for path in top.iterdir()] == ["layer"]
    finally:
        shutil.rmtree(top)


@pytest.mark.root
def test_whiteouts_and_attributes_there_and_back(tmp_path: Path) -> None:
    target, again = tmp_path / "layer", tmp_path / "again"
    target.mkdir()
    again.mkdir()
    capable = Entry("bin/p", mode=0o4755, uid=3, xattrs=(("security.capability", BIND), ("user.note", b"\xff\0")))
    layer = [Entry("etc/.wh.gone"), Entry("var/.wh..wh..opq"), Entry("etc/here", content="x"), capable]
    layers.apply(io.BytesIO(layermodel.archive([*layer, Entry("bin/q", "hardlink", "bin/p")])), target)
    packed = io.BytesIO()
    packing.pack(target, packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        files = ["bin/p", "bin/q", "etc/.wh.gone", "etc/here", "var/.wh..wh..opq"]
        assert sorted(tar.getnames()) == ["bin", *files[:2], "etc", *files[2:4], "var", files[4]]
    packed.seek(0)
    layers.apply(packed, again)
    assert described(again) == described(target)
    assert described(again)["/bin/q"] == ("file", "", "/bin/p", 0o4755, 3, 0, sorted(capable.xattrs))


@pytest.mark.root
def test_sockets_and_devices_that_a_command_left_are_no_part_of_its_layer(tmp_path: Path) -> None:
    store, folder = Store(tmp_path / "store"), tmp_path / "upper"
    (folder / "d").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
    os.mknod(folder / "d/disk", stat.S_IFBLK | 0o666, os.makedev(8, 0))
    os.mknod(folder / "d/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(folder / "d/gone", stat.S_IFCHR, os.makedev(0, 0))
    (folder / "f").touch()
    diff_id, digest, _ = store.adopt_layer(folder)
    assert sorted(str(path.relative_to(store.layer(diff_id))) for path in store.layer(diff_id).rglob("*")) == [
        "d",
        "d/gone",
        "f",
    ]
    with tarfile.open(store.blob(digest)) as tar:
        assert sorted(tar.getnames()) == ["d", "d/.wh.gone", "f"]
