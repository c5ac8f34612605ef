"""Files below a root with untrusted content: an image's layer, a container's root, a build's context.

Such a root may hold any link: ``etc -> /etc``, ``a -> ../../..``, one that changes while the kernel walks through it.
So the runtime never opens a path into it from the host's tree. A :class:`Root` is the folder's descriptor; it resolves
a path inside by openat2(2) with RESOLVE_IN_ROOT, as a process that is chroot-ed into it would: ``/`` and ``..`` end at
the root, links are taken as the root sees them, magic links (``/proc/self/fd/3``) are refused. What follows is done to
a descriptor, or to one name in a folder's descriptor, so that no later change of a link matters.

::

    with Root.at(layer) as root:
        root.make_folders("/usr/share/app")             # mkdir -p
        with root.create("/usr/share/app/x") as file:   # a new file; FileExistsError
            file.write(b"x")
        root.chown("/usr/share/app/x", 0, 0)            # a link itself, unless follow=True
        with root.parent("/usr/share/app/y") as (folder, name):
            os.symlink("x", name, dir_fd=folder)        # any call of os that takes dir_fd and one name

Paths may begin with ``/`` or not: that is the same. Reading follows links at the end of a path, writing and removing
do not. Errors are OSError as the kernel gives them (ELOOP: too many links, or one where none may be).
https://man7.org/linux/man-pages/man2/openat2.2.html, https://github.com/cyphar/filepath-securejoin
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import IO

from kubelab.linux.syscalls import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    openat2,
)

MAX_LINKS = 40  # as the kernel's own limit
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW = _FOLDER | os.O_NOFOLLOW
_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Root:
    """A folder, by its descriptor ``fd``; close it, or use it in a ``with``."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def at(cls, path: str | Path) -> Root:
        """The root at a path that is our own: every folder on the way to it is trusted; the last is not a link."""
        return cls(os.open(path, _BELOW))

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    # --- finding

    def open(self, path: str, flags: int = os.O_PATH, *, follow: bool = True, links: bool = True) -> int:
        """Open what is there and give its descriptor. ``follow`` False: a link at the end is itself what is opened;
        ``links`` False: a link anywhere on the way, or one ``..`` too many, is an error.

        O_PATH alone opens nothing but the name. Use :meth:`open_file` to read: a fifo blocks, a device acts on being
        opened. ``flags`` may not create: see :meth:`create`.
        """
        if not follow:
            flags |= os.O_NOFOLLOW
        resolve = RESOLVE_IN_ROOT if links else RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
        inside = path.lstrip("/") or "."
        return openat2(self.fd, inside, flags, resolve | RESOLVE_NO_MAGICLINKS)

    def folder(self, path: str, *, links: bool = True) -> int:
        """Open a folder; NotADirectoryError."""
        return self.open(path, _FOLDER, links=links)

    @contextlib.contextmanager
    def pinned(self, path: str, *, follow: bool = False) -> Generator[int]:
        """What is there, as a descriptor (O_PATH) that stays the same file whatever becomes of its name."""
        fd = self.open(path, follow=follow)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def parent(self, path: str, *, make: bool = False) -> Generator[tuple[int, str]]:
        """The folder that holds a path's last component, as a descriptor, and that component, which need not exist.

        ``make`` makes the folder (as :meth:`make_folders`). OSError EINVAL for a path that ends in ``..`` or names the
        root itself.
        """
        above, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        fd = self.made_folder(above) if make else self.folder(above)
        try:
            yield fd, name
        finally:
            os.close(fd)

    def resolve(self, path: str, *, follow: bool = True) -> str:
        """Where a path leads to inside: absolute, without links or ``..``; what is not there yet is kept as it is said.

        The answer is for showing, and for making what is missing (through ``links=False``); it may be out of date at
        once. ``follow`` False keeps a link at the end. OSError: ELOOP, NotADirectoryError.
        """
        parts, done, links_left = _parts(path), list[str](), MAX_LINKS
        while parts:
            part = parts.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            done.append(part)
            if not parts and not follow:
                break
            try:
                target = self._link("/".join(done))
            except FileNotFoundError:
                continue
            if target is None:
                continue
            links_left -= 1
            if links_left < 0:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            done = [] if target.startswith("/") else done[:-1]
            parts = _parts(target) + parts
        return "/" + "/".join(done)

    def _link(self, path: str) -> str | None:
        """Where the link at a path leads to, None for anything else; no link is followed to it."""
        fd = self.open(path, os.O_PATH | os.O_NOFOLLOW, links=False)
        try:
            return os.readlink("", dir_fd=fd) if stat.S_ISLNK(os.fstat(fd).st_mode) else None
        finally:
            os.close(fd)

    # --- reading

    def lstat(self, path: str) -> os.stat_result:
        """The status of a link itself."""
        with self.pinned(path) as fd:
            return os.fstat(fd)

    def stat(self, path: str) -> os.stat_result:
        """The status of what a link leads to."""
        with self.pinned(path, follow=True) as fd:
            return os.fstat(fd)

    def exists(self, path: str, *, follow: bool = False) -> bool:
        """Whether there is something. A link that leads nowhere exists, unless it is followed."""
        return self._mode(path, follow=follow) is not None

    def is_folder(self, path: str) -> bool:
        """Whether a path leads to a folder."""
        return stat.S_ISDIR(self._mode(path, follow=True) or 0)

    def _mode(self, path: str, *, follow: bool) -> int | None:
        try:
            with self.pinned(path, follow=follow) as fd:
                return os.fstat(fd).st_mode
        except OSError as err:
            if err.errno in _NOTHING:
                return None
            raise

    def readlink(self, path: str) -> str:
        """A link's text; OSError EINVAL for what is no link."""
        with self.pinned(path) as fd:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
            return os.readlink("", dir_fd=fd)

    def list(self, path: str = "") -> list[str]:
        """The names in a folder, sorted."""
        fd = self.folder(path)
        try:
            return sorted(os.listdir(fd))  # noqa: PTH208 — by descriptor
        finally:
            os.close(fd)

    def open_file(self, path: str, *, follow: bool = True) -> IO[bytes]:
        """Open a regular file to read; OSError EINVAL for anything else, which is not opened at all."""
        with self.pinned(path, follow=follow) as fd:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            return open(by_descriptor(fd), "rb")  # noqa: PTH123

    def read(self, path: str, limit: int = 1 << 20) -> bytes:
        """A small regular file's content; OSError EFBIG beyond ``limit`` bytes."""
        with self.open_file(path) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return content

    def listxattr(self, path: str, *, follow: bool = False) -> list[str]:
        with self.pinned(path, follow=follow) as fd:
            return os.listxattr(by_descriptor(fd))

    def getxattr(self, path: str, name: str, *, follow: bool = False) -> bytes:
        with self.pinned(path, follow=follow) as fd:
            return os.getxattr(by_descriptor(fd), name)

    # --- writing

    def make_folders(self, path: str, mode: int = 0o755) -> None:
        """Make a folder and those above it that are missing (mkdir -p).

        A link that leads nowhere is followed: what it names is made, inside the root, as ``docker build`` does for
        ``COPY x /var/run/`` over ``/var/run -> /run``. FileExistsError or NotADirectoryError where a file is.
        """
        os.close(self.made_folder(path, mode))

    def made_folder(self, path: str, mode: int = 0o755) -> int:
        """As :meth:`make_folders`; gives the folder's descriptor."""
        fd = self.folder("")
        try:
            for part in _parts(self.resolve(path)):
                below = _child(fd, part, mode)
                os.close(fd)
                fd = below
        except BaseException:
            os.close(fd)
            raise
        return fd

    def create(self, path: str, mode: int = 0o644) -> IO[bytes]:
        """Make a new file and open it to write; FileExistsError where there is anything, also a link."""
        with self.parent(path) as (folder, name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.fdopen(os.open(name, flags, mode, dir_fd=folder), "wb")

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        with self.parent(path) as (folder, name):
            os.mkdir(name, mode, dir_fd=folder)

    def symlink(self, target: str, path: str) -> None:
        """Make a link; its text is kept as it is."""
        with self.parent(path) as (folder, name):
            os.symlink(target, name, dir_fd=folder)

    def link(self, existing: str, path: str) -> None:
        """Make a second name for a file; of a link, for the link itself."""
        with self.parent(existing) as (source, old), self.parent(path) as (folder, name):
            os.link(old, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)

    def mknod(self, path: str, mode: int, device: int = 0) -> None:
        with self.parent(path) as (folder, name):
            os.mknod(name, mode, device, dir_fd=folder)

    def rename(self, old: str, new: str) -> None:
        with self.parent(old) as (source, before), self.parent(new) as (folder, name):
            os.rename(before, name, src_dir_fd=source, dst_dir_fd=folder)

    def chown(self, path: str, uid: int, gid: int, *, follow: bool = False) -> None:
        with self.pinned(path, follow=follow) as fd:
            os.chown(by_descriptor(fd), uid, gid)

    def chmod(self, path: str, mode: int, *, follow: bool = False) -> None:
        """OSError EOPNOTSUPP for a link: it has no mode."""
        with self.pinned(path, follow=follow) as fd:
            Path(by_descriptor(fd)).chmod(mode)

    def utime(self, path: str, nanoseconds: int, *, follow: bool = False) -> None:
        """Set when a file was read and changed last."""
        with self.pinned(path, follow=follow) as fd:
            os.utime(by_descriptor(fd), ns=(nanoseconds, nanoseconds))

    def setxattr(self, path: str, name: str, value: bytes, *, follow: bool = False) -> None:
        with self.pinned(path, follow=follow) as fd:
            os.setxattr(by_descriptor(fd), name, value)

    def remove(self, path: str) -> None:
        """Remove a file, a link, or a folder with all that is in it. Nothing there is no error."""
        try:
            with self.parent(path) as (folder, name):
                remove_at(folder, name)
        except FileNotFoundError:
            return


def by_descriptor(fd: int) -> str:
    """The path by which calls that take no descriptor, or none of O_PATH, reach the file itself, were it a link."""
    return f"/proc/self/fd/{fd}"


def remove_at(folder: int, name: str) -> None:
    """Remove what a folder's descriptor has under a name, with all below it, however deep; no link is followed.

    One descriptor is held for any depth: a container may nest folders deeper than a path can say. FileNotFoundError.
    """
    if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    here = _Cursor(os.open(name, _BELOW, dir_fd=folder))
    try:
        pending = [_remove_files(here.fd)]  # for each folder from the top down to here: those below it
        while pending:
            if pending[-1]:
                here.down(pending[-1][-1])
                pending.append(_remove_files(here.fd))
                continue
            pending.pop()
            if pending:
                here.up()
                os.rmdir(pending[-1].pop(), dir_fd=here.fd)
    finally:
        os.close(here.fd)
    os.rmdir(name, dir_fd=folder)


def remove_tree(path: Path) -> None:
    """Remove a folder (or file) of our own with whatever containers or images have put below it. FileNotFoundError."""
    folder = os.open(path.parent, _FOLDER)
    try:
        remove_at(folder, path.name)
    finally:
        os.close(folder)


def _remove_files(folder: int) -> list[str]:
    """Remove what is no folder; gives the names of those that are."""
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return folders


class _Cursor:
    """A folder's descriptor that moves down and up a tree, and only up the way that it came down."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._above: list[os.stat_result] = []

    def down(self, name: str) -> None:
        below = os.open(name, _BELOW, dir_fd=self.fd)
        self._above.append(os.fstat(self.fd))
        self._move(below)

    def up(self) -> None:
        """OSError ESTALE when the folder was moved elsewhere meanwhile."""
        self._move(os.open("..", _BELOW, dir_fd=self.fd))
        if not os.path.samestat(os.fstat(self.fd), self._above.pop()):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    def _move(self, fd: int) -> None:
        os.close(self.fd)
        self.fd = fd


def _child(folder: int, name: str, mode: int) -> int:
    """A folder in a folder, which is made where nothing is; never through a link."""
    try:
        return os.open(name, _BELOW, dir_fd=folder)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # another process was quicker
            os.mkdir(name, mode, dir_fd=folder)
        return os.open(name, _BELOW, dir_fd=folder)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
