"""Copying files from one root into another: COPY and ADD, as BuildKit does it (github.com/tonistiigi/fsutil, copy).

- A folder's content is copied, merged into what is there; a file goes to the target, or into it where that is a folder
  or ends with ``/``.
- Links in what is copied stay links; a link that is itself named as source is followed.
- A file replaces a file or a link. A folder in the place of a file, or the other way round, is an error.
- Owner, mode, times and extended attributes come along. From the build context all belongs to root.
- Sockets and devices are left out. Hard links stay together.

Both roots are foreign (:mod:`kubelab.runtime.rootfs.inroot`): paths are resolved inside of them, and what is done to a file is
done by its folder's descriptor and one name.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from posixpath import basename, normpath

from kubelab.runtime.rootfs.inroot import Root

Owner = tuple[int, int]
WHITEOUT = ".wh."
_BLOCK = 8 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_XATTRS = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")


class CopyFault(Exception):
    """It cannot be done; ``ours``: the machine is to blame, not the Dockerfile."""

    def __init__(self, message: str, *, ours: bool = False) -> None:
        super().__init__(message)
        self.ours = ours


def make_folders(root: Root, path: str, owner: Owner | None) -> str:
    """Make a folder and those above it that are missing, mode 0755; gives its path without links. CopyFault, OSError."""
    resolved = root.resolve(path)
    here = ""
    for part in [part for part in resolved.split("/") if part]:
        here += f"/{part}"
        try:
            root.mkdir(here, 0o755)
        except FileExistsError:
            if not root.is_folder(here):
                raise CopyFault(f"{here}: not a directory") from None
            continue
        if owner:
            root.chown(here, *owner)
    return resolved


class Copier:
    """Copies from ``source`` to ``target``. ``owner`` and ``mode`` None: as the source has it.

    ``keep_owner``: owners and extended attributes come along. ``keep_links``: a folder goes into the folder that a link
    at its place leads to, as ``bin`` of an archive into ``/bin -> usr/bin``. ``check`` is called often, and may raise.
    """

    def __init__(
        self, source: Root, target: Root, owner: Owner | None, mode: int | None, check: Callable[[], None]
    ) -> None:
        self._source, self._target = source, target
        self._owner, self._mode, self._check = owner, mode, check
        self.keep_owner = self.keep_links = False
        self._hard_links: dict[tuple[int, int], str] = {}
        self._times: list[tuple[str, int]] = []

    def copy(self, path: str, name: str, target: str) -> None:
        """Copy what is at ``path`` of the source, which has no links on the way, as COPY does. CopyFault, OSError."""
        status = self._source.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            to = make_folders(self._target, target, self._owner)
            self._tree(path, to)
            for folder, when in reversed(self._times):
                self._target.utime(folder, when)
            return
        if target.endswith("/") or self._target.is_folder(target):
            target = f"{target.rstrip('/')}/{name}"
        to = self._target.resolve(normpath(target))
        above = make_folders(self._target, to.rpartition("/")[0] or "/", self._owner)
        source_fd = self._source.folder(path.rpartition("/")[0] or "/", links=False)
        try:
            target_fd = self._target.folder(above, links=False)
            try:
                self._file(source_fd, basename(path), status, target_fd, to)
            finally:
                os.close(target_fd)
        finally:
            os.close(source_fd)

    def _tree(self, path: str, to: str) -> None:
        waiting = [(path.rstrip("/"), to.rstrip("/"))]
        while waiting:
            path, to = waiting.pop()
            source_fd = self._source.folder(path, links=False)
            try:
                target_fd = self._target.folder(to, links=False)
                try:
                    for name in sorted(os.listdir(source_fd)):  # noqa: PTH208 — by descriptor
                        status = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
                        inside = f"{to}/{name}"
                        if stat.S_ISDIR(status.st_mode):
                            inside = self._folder(source_fd, name, status, target_fd, inside)
                            waiting.append((f"{path}/{name}", inside))
                        else:
                            self._file(source_fd, name, status, target_fd, inside)
                finally:
                    os.close(target_fd)
            finally:
                os.close(source_fd)

    def _folder(self, source: int, name: str, status: os.stat_result, target: int, path: str) -> str:
        """Make a folder in a folder, or take the one that is there; gives its path without links."""
        self._check()
        _refuse_whiteout(name, path)
        try:
            os.mkdir(name, 0o700, dir_fd=target)
        except FileExistsError:
            existing = os.stat(name, dir_fd=target, follow_symlinks=False)
            if self.keep_links and stat.S_ISLNK(existing.st_mode) and self._target.is_folder(path):
                return self._target.resolve(path)
            if not stat.S_ISDIR(existing.st_mode):
                raise CopyFault(f"cannot copy to non-directory: {path}") from None
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)
        try:
            os.fchown(fd, *self._owner_of(status))
            os.fchmod(fd, self._mode_of(status))
            if self.keep_owner:
                below = os.open(name, _READ | os.O_DIRECTORY, dir_fd=source)
                try:
                    _copy_xattrs(below, fd)
                finally:
                    os.close(below)
        finally:
            os.close(fd)
        self._times.append((path, status.st_mtime_ns))
        return path

    def _file(self, source: int, name: str, status: os.stat_result, target: int, path: str) -> None:
        """Copy what is no folder to a path whose folder is ``target``."""
        self._check()
        kind, new = stat.S_IFMT(status.st_mode), basename(path)
        if kind not in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO):
            return
        _refuse_whiteout(new, path)
        self._make_room(target, new, path)
        if status.st_nlink > 1 and (first := self._hard_links.get((status.st_dev, status.st_ino))):
            self._target.link(first, path)
            return
        if kind == stat.S_IFREG:
            self._content(source, name, status, target, new)
        else:
            if kind == stat.S_IFLNK:
                os.symlink(os.readlink(name, dir_fd=source), new, dir_fd=target)
            else:
                os.mkfifo(new, 0o600, dir_fd=target)
            os.chown(new, *self._owner_of(status), dir_fd=target, follow_symlinks=False)
            if kind == stat.S_IFIFO:
                self._target.chmod(path, self._mode_of(status))
            os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
        if status.st_nlink > 1:
            self._hard_links[status.st_dev, status.st_ino] = path

    def _make_room(self, target: int, name: str, path: str) -> None:
        try:
            existing = os.stat(name, dir_fd=target, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(existing.st_mode):
            raise CopyFault(f"cannot replace to directory {path} with file")
        os.unlink(name, dir_fd=target)

    def _content(self, source: int, name: str, status: os.stat_result, target: int, new: str) -> None:
        reading = os.open(name, _READ, dir_fd=source)
        try:
            if not stat.S_ISREG(os.fstat(reading).st_mode):
                raise CopyFault(f"{name}: it changed while it was copied")
            writing = os.open(new, _NEW, 0o600, dir_fd=target)
            try:
                while os.sendfile(writing, reading, None, _BLOCK):  # type: ignore[arg-type]
                    self._check()
                os.fchown(writing, *self._owner_of(status))  # first: it takes set-user-ID and capabilities away
                os.fchmod(writing, self._mode_of(status))
                if self.keep_owner:
                    _copy_xattrs(reading, writing)
                os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
            finally:
                os.close(writing)
        finally:
            os.close(reading)

    def _owner_of(self, status: os.stat_result) -> Owner:
        if self._owner:
            return self._owner
        return (status.st_uid, status.st_gid) if self.keep_owner else (0, 0)

    def _mode_of(self, status: os.stat_result) -> int:
        return stat.S_IMODE(status.st_mode) if self._mode is None else self._mode


def _refuse_whiteout(name: str, path: str) -> None:
    if name.startswith(WHITEOUT):
        raise CopyFault(f"{path}: in an image's layer a name that begins with {WHITEOUT} means that a file is gone")


def _copy_xattrs(source: int, target: int) -> None:
    for name in os.listxattr(source):
        if name not in _KEPT_XATTRS and (not name.startswith("user.") or name.startswith("user.overlay.")):
            continue
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as err:
            if err.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
