"""Paths into a foreign root: resolved as a process in it would, and never out of it."""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kubelab.runtime.rootfs.inroot import Root, by_descriptor, remove_at

NAMES = ["a", "b", "c"]
ROOT_USER = os.getuid() == 0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that holds ``root``, and beside it what must be neither read nor changed."""
    (tmp_path / "root").mkdir()
    _make_canary(tmp_path)
    return tmp_path


def _make_canary(place: Path) -> None:
    (place / "canary" / "a" / "b").mkdir(parents=True)
    for folder in ("canary", "canary/a", "canary/a/b"):
        for name in ("secret", "c", "of-the-host"):
            (place / folder / name).write_text("of the host")


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything about a tree that a write would change."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        attributes = tuple(os.listxattr(path, follow_symlinks=False))
        times = (status.st_mtime_ns, status.st_ctime_ns)
        found[str(path)] = (status.st_mode, status.st_uid, status.st_nlink, *times, content, attributes)
    return found


# --- what the paths mean


TREE: Mapping[str, str | None] = {
    "etc/passwd": "of the image",
    "usr/bin/sh": "a program",
    "bin": "->usr/bin",
    "abs": "->/usr/bin",
    "up": "->../../../../etc",
    "chain": "->abs/../bin",
    "loop": "->loop",
    "nowhere": "->/run/not/there",
    "usr/etc": "->../etc",
}


@pytest.fixture
def tree(place: Path) -> Generator[Root]:
    for name, content in TREE.items():
        path = place / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content and content.startswith("->"):
            path.symlink_to(content.removeprefix("->"))
        else:
            path.write_text(content or "")
    with Root.at(place / "root") as root:
        yield root


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("", "/"),
        ("/", "/"),
        ("..", "/"),
        ("/../../..", "/"),
        ("etc//./passwd", "/etc/passwd"),
        ("bin/sh", "/usr/bin/sh"),
        ("/abs/sh", "/usr/bin/sh"),
        ("up/passwd", "/etc/passwd"),
        ("chain/sh", "/usr/bin/sh"),
        ("bin/../etc/passwd", "/etc/passwd"),  # /usr/etc/passwd: of where the link leads
        ("nowhere/x", "/run/not/there/x"),
        ("new/folder/../x", "/new/x"),
    ],
)
def test_a_path_leads_where_a_process_in_the_root_would_come_to(tree: Root, path: str, leads_to: str) -> None:
    assert tree.resolve(path) == leads_to
    if leads_to.endswith(("sh", "passwd")):
        assert tree.read(path) == tree.read(leads_to)


def test_a_link_at_the_end_is_read_through_and_written_itself(tree: Root) -> None:
    assert stat.S_ISLNK(tree.lstat("bin").st_mode)
    assert stat.S_ISDIR(tree.stat("bin").st_mode)
    assert tree.readlink("up") == "../../../../etc"
    assert (tree.resolve("bin", follow=False), tree.list("bin")) == ("/bin", ["sh"])
    assert tree.exists("nowhere")
    assert not tree.exists("nowhere", follow=True)
    assert tree.is_folder("chain")
    assert not tree.is_folder("loop")
    tree.remove("bin")
    assert tree.list("usr/bin") == ["sh"]
    assert not tree.exists("bin")


FAILING: list[tuple[Callable[[Root], object], int]] = [
    (lambda r: r.read("loop"), errno.ELOOP),
    (lambda r: r.resolve("loop/x"), errno.ELOOP),
    (lambda r: r.read("etc/passwd/x"), errno.ENOTDIR),
    (lambda r: r.resolve("etc/passwd/x"), errno.ENOTDIR),
    (lambda r: r.make_folders("etc/passwd"), errno.ENOTDIR),
    (lambda r: r.create("etc/passwd"), errno.EEXIST),
    (lambda r: r.create("nowhere"), errno.EEXIST),
    (lambda r: r.remove("/"), errno.EINVAL),
    (lambda r: r.mkdir("etc/.."), errno.EINVAL),
    (lambda r: r.readlink("etc"), errno.EINVAL),
    (lambda r: r.read("etc"), errno.EINVAL),
    (lambda r: r.read("usr/bin/sh", limit=3), errno.EFBIG),
    (lambda r: os.close(r.open("bin/sh", links=False)), errno.ELOOP),
    (lambda r: os.close(r.open("../etc", links=False)), errno.EXDEV),
]


@pytest.mark.parametrize(("call", "number"), FAILING)
def test_what_cannot_be_done_is_an_error_of_its_kind(tree: Root, call: Callable[[Root], object], number: int) -> None:
    with pytest.raises(OSError, match=r"\[Errno") as told:
        call(tree)
    assert told.value.errno == number


def test_a_fifo_and_a_magic_link_are_not_opened(tree: Root) -> None:
    tree.mknod("pipe", stat.S_IFIFO | 0o600)
    with pytest.raises(OSError, match="not a regular file"):
        tree.read("pipe")  # would wait for a writer
    with Root.at(f"/proc/{os.getpid()}") as own, pytest.raises(OSError, match="symbolic links"):
        own.list("cwd")
    with pytest.raises(ValueError, match="null"):
        tree.read("etc\0/passwd")


def test_folders_are_made_where_links_lead_also_those_that_lead_nowhere(place: Path, tree: Root) -> None:
    tree.make_folders("bin/x/y", 0o700)
    tree.make_folders("nowhere/z")
    with tree.parent("up/new/file", make=True) as (folder, name):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=folder))
    root = place / "root"
    assert (root / "usr/bin/x/y").stat().st_mode & 0o777 == 0o700
    assert (root / "run/not/there/z").is_dir()
    assert (root / "etc/new/file").is_file()


def test_every_kind_of_file_is_made_changed_and_removed(place: Path, tree: Root) -> None:
    with tree.create("etc/new", 0o600) as file:
        file.write(b"x")
    tree.link("etc/new", "abs/second")
    tree.symlink("/etc/new", "etc/link")
    tree.chmod("etc/new", 0o640)
    tree.chmod("etc/link", 0o604, follow=True)
    tree.utime("etc/link", 5 * 10**9)
    tree.rename("abs/second", "bin/third")
    tree.setxattr("etc/new", "user.kind", b"good")
    root = place / "root"
    assert (root / "usr/bin/third").samefile(root / "etc/new")
    assert (root / "etc/new").stat().st_mode & 0o777 == 0o604
    assert (root / "etc/link").lstat().st_mtime == 5
    assert (root / "etc/new").stat().st_mtime != 5
    assert tree.getxattr("etc/link", "user.kind", follow=True) == b"good"
    assert tree.listxattr("etc/new") == ["user.kind"]
    if ROOT_USER:
        tree.chown("etc/link", 7, 8)
        assert ((root / "etc/link").lstat().st_uid, (root / "etc/new").stat().st_uid) == (7, 0)
    with pytest.raises(OSError, match="not supported"):
        tree.chmod("etc/link", 0o777)
    for path in ("etc", "bin", "usr", "up", "not/there", "etc"):
        tree.remove(path)
    assert tree.list() == ["abs", "chain", "loop", "nowhere"]


def test_a_tree_deeper_than_any_path_is_removed(place: Path) -> None:
    here = os.open(place / "root", os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("dddd", dir_fd=here)
        os.mkdir("e", dir_fd=here)
        below = os.open("dddd", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (place / "root/dddd/dddd/out").symlink_to(place / "canary")
    before = snapshot(place / "canary")
    with Root.at(place / "root") as root:
        root.remove("dddd")
        assert root.list() == ["e"]
    assert snapshot(place / "canary") == before


# --- trees that somebody else thought of


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Folders, files and links, many of them towards the canary, by relative, absolute and host paths."""
    steps = st.lists(st.sampled_from([*NAMES, "..", "..", "canary", "."]), min_size=1, max_size=6)
    paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
    targets = steps.flatmap(
        lambda s: st.sampled_from(["", "/", "HOST/", "HOST/root/../"]).map(lambda p: p + "/".join(s))
    )
    kinds = st.one_of(st.sampled_from(["folder", "file"]), targets.map(lambda target: f"->{target}"))
    return draw(st.lists(st.tuples(paths, kinds), max_size=12))


def _plant(place: Path, tree: list[tuple[str, str]]) -> None:
    """Make a tree as an image's author would: by real paths, but never through a link."""
    root = place / "root"
    for name, kind in tree:
        path = root / name
        if any(parent.is_symlink() or parent.is_file() for parent in path.parents) or os.path.lexists(path):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "folder":
            path.mkdir()
        elif kind == "file":
            path.write_text("of the image")
        else:
            path.symlink_to(kind.removeprefix("->").replace("HOST", str(place)))


def _write(root: Root, path: str) -> None:
    with root.create(path) as file:
        file.write(b"written")


OPERATIONS: Mapping[str, Callable[[Root, str], object]] = {
    "read": lambda root, path: root.read(path),
    "list": lambda root, path: root.list(path),
    "create": _write,
    "make_folders": lambda root, path: root.make_folders(path),
    "mkdir": lambda root, path: root.mkdir(path),
    "symlink": lambda root, path: root.symlink("/canary", path),
    "link": lambda root, path: root.link(path, "linked"),
    "mknod": lambda root, path: root.mknod(path, stat.S_IFIFO | 0o600),
    "rename": lambda root, path: root.rename(path, "a/renamed"),
    "rename to": lambda root, path: root.rename("a", path),
    "chmod": lambda root, path: root.chmod(path, 0o7, follow=True),
    "chown": lambda root, path: root.chown(path, os.getuid(), os.getgid(), follow=True),
    "utime": lambda root, path: root.utime(path, 1, follow=True),
    "setxattr": lambda root, path: root.setxattr(path, "user.x", b"y", follow=True),
    "remove": lambda root, path: root.remove(path),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees(), calls=st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 30)), max_size=15))
@example(tree=[("a", "->HOST/canary")], calls=[(name, 0) for name in sorted(OPERATIONS)])
@example(tree=[("a", "->../canary/a")], calls=[(name, 4) for name in sorted(OPERATIONS)])
def test_nothing_beside_the_root_is_read_or_changed(
    tmp_path_factory: pytest.TempPathFactory, tree: list[tuple[str, str]], calls: list[tuple[str, int]]
) -> None:
    place = tmp_path_factory.mktemp("place")
    (place / "root").mkdir()
    _make_canary(place)
    _plant(place, tree)
    before = snapshot(place / "canary")
    paths = [path for path, _ in tree] or ["a"]
    paths = [*paths, *(f"{path}/secret" for path in paths), *(f"{path}/../canary/c" for path in paths)]
    with Root.at(place / "root") as root:
        for name, number in calls:
            with contextlib.suppress(OSError):
                told = OPERATIONS[name](root, paths[number % len(paths)])
                assert told != b"of the host"
                assert not isinstance(told, list) or "of-the-host" not in told
    assert snapshot(place / "canary") == before
    remove_at_path(place)


def remove_at_path(place: Path) -> None:
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        remove_at(folder, place.name)
    finally:
        os.close(folder)


def test_a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere_else(place: Path) -> None:
    root, stop = place / "root", threading.Event()
    (root / "d" / "a" / "b").mkdir(parents=True)
    (root / "kept" / "x").mkdir(parents=True)
    (root / "link").symlink_to(place / "canary")
    (root / "up").symlink_to("../canary")

    def swap() -> None:
        while not stop.is_set():
            for other in ("link", "up"):
                with contextlib.suppress(OSError):
                    os.rename(root / "d", root / "away")  # noqa: PTH104
                    os.rename(root / other, root / "d")  # noqa: PTH104
                    os.rename(root / "d", root / other)  # noqa: PTH104
                    os.rename(root / "away", root / "d")  # noqa: PTH104

    before = snapshot(place / "canary")
    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        with Root.at(root) as opened:
            for number in range(200):
                for name in sorted(OPERATIONS.keys() - {"rename", "rename to"}):
                    with contextlib.suppress(OSError):
                        told = OPERATIONS[name](opened, f"d/a/../a/{'secret' if number % 3 else f'n{number}/../c'}")
                        assert told != b"of the host"
                with contextlib.suppress(OSError):
                    opened.make_folders(f"d/a/b/n{number}")
                if number % 50 == 0:
                    with contextlib.suppress(OSError):
                        opened.remove("d/a")
    finally:
        stop.set()
        swapping.join()
    assert snapshot(place / "canary") == before


def test_a_descriptor_stays_the_file_that_it_was(place: Path, tree: Root) -> None:
    with tree.pinned("etc/passwd") as fd:
        (place / "root/etc").rename(place / "root/old")
        (place / "root/etc").symlink_to(place / "canary")
        assert Path(by_descriptor(fd)).read_text() == "of the image"
