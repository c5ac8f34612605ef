"""Layers: from a tar archive to a folder that overlay takes as a lower one
(https://github.com/opencontainers/image-spec/blob/main/layer.md).

What a layer means is worked out inside of its own folder, as a process that is chroot-ed into it would see it: nothing
of it is looked up by a path of the host (:mod:`kubelab.runtime.rootfs.inroot`). The members are applied in their order:

- a folder that is there already stays and takes the member's owner, mode and times; all else replaces what is there
- folders that the archive does not have are made, owned by root; links on the way are followed inside the layer
- a hard link shares the file of a member before it, whose owner, mode and times it leaves alone
- devices are left out (a container has those of /dev), fifos are kept
- extended attributes are kept as far as an image may have them: file capabilities, ACLs and ``user.*``
- whiteouts hide what *lower* layers have, wherever they stand: with ``.wh.d`` beside it, ``d/`` is opaque
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
import tarfile
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import IO

from kubelab.runtime.oci.compression import opened
from kubelab.runtime.oci.limits import BadImage, Budget, Limits
from kubelab.runtime.oci.tarball import Member, Reader, shown
from kubelab.runtime.rootfs import inroot
from kubelab.runtime.rootfs.inroot import Root

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
OPAQUE_XATTR = "trusted.overlay.opaque"
CAPABILITY_XATTR = "security.capability"
_AUFS = ".wh..wh."  # what AUFS wrote for itself, in layers of its time
_KEPT = (CAPABILITY_XATTR, "system.posix_acl_access", "system.posix_acl_default")
_OVERLAYS = "user.overlay."  # overlay takes these for its own, as it does those of trusted.*
_NO_ID = 2**32 - 1  # chown(2): leave it as it is
_LAST_SECOND = 2**34  # ext4 ends in 2446
_KNOWN = (*tarfile.SUPPORTED_TYPES, b"V")  # "V": a volume's label
# The machine's own trouble; any other error comes from what the layer asks for.
_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class BadLayer(BadImage):
    """The archive is not a layer."""


def apply(archive: IO[bytes], target: Path, budget: Budget | None = None, *, whiteouts: bool = True) -> None:
    """Unpack a seekable, uncompressed tar into an empty folder; BadLayer, OSError.

    ``budget`` bounds it. Without ``whiteouts`` files whose name begins with ``.wh.`` are files like any other.
    """
    budget = budget or Budget(Limits())
    with _as_bad_layer(), Root.at(target) as root:
        _Unpacking(Reader(archive, budget), root, budget, whiteouts).run()


def unpack(archive: IO[bytes], target: Path, budget: Budget | None = None, *, whiteouts: bool = True) -> None:
    """The same for a seekable tar of any compression; what is decompressed goes into a file beside the target."""
    budget = budget or Budget(Limits())
    with _as_bad_layer(), opened(archive, budget, "the archive") as plain:
        if not plain.compressed:
            apply(archive, target, budget, whiteouts=whiteouts)
            return
        with tempfile.TemporaryFile(dir=target.parent) as file:
            while block := plain.read():
                file.write(block)
            file.seek(0)
            apply(file, target, budget, whiteouts=whiteouts)


@contextlib.contextmanager
def _as_bad_layer() -> Generator[None]:
    try:
        yield
    except BadLayer:
        raise
    except BadImage as err:
        raise BadLayer(str(err)) from err


class _Unpacking:
    """One layer on its way into its folder."""

    def __init__(self, reader: Reader, root: Root, budget: Budget, whiteouts: bool) -> None:
        self._reader, self._root, self._budget, self._whiteouts = reader, root, budget, whiteouts
        self._chown = os.geteuid() == 0
        self._times: dict[
            str, tuple[int, int]
        ] = {}  # a folder's, in nanoseconds: set last, for each new file changes it
        self._marked: set[str] = set()  # folders that whiteouts were seen in
        self._left_out: set[str] = set()  # devices, for hard links to them
        self._here: tuple[str, str, int] | None = None  # the last folder: as asked for, resolved, its descriptor
        self._moved = False  # a path may lead elsewhere since then

    def run(self) -> None:
        """BadLayer, OSError."""
        try:
            for member in self._reader:
                with _named(member):
                    self._place(member)
        finally:
            self._forget_folder()
        for path in self._marked:
            self._convert_whiteouts(path)
        for path, times in self._times.items():
            with self._folder_again(path) as fd:
                if fd is not None:
                    os.utime(fd, ns=times)

    def _place(self, member: Member) -> None:
        parts = _parts(member.name)
        if member.type not in _KNOWN:
            raise BadLayer(f"a member of the unknown type {member.type!r}")
        if not parts or member.type == b"V":
            return  # the root's own entry, or none
        if self._whiteouts and self._is_whiteout(parts):  # by its name, whatever it is and leads to
            return
        if member.isdev() and not member.isfifo():
            self._left_out.add("/".join(parts))
            return
        if member.islnk() and "/".join(_parts(member.linkname)) in self._left_out:
            return
        self._budget.unpacked(member.size if member.isreg() else 0)
        folder, name = self._folder(parts[:-1]), parts[-1]
        if member.isdir():
            self._make_folder(folder, name, member)
        elif member.islnk():
            self._link(folder, name, member)
        else:
            self._remove(folder, name)
            if member.isreg():
                self._make_file(folder, name, member)
            elif member.issym():
                os.symlink(_text(member.linkname), name, dir_fd=folder)
                self._describe_by_name(folder, name, member)
            else:
                os.mknod(name, stat.S_IFIFO | 0o600, dir_fd=folder)
                self._describe_by_name(folder, name, member)

    # --- folders

    def _folder(self, parts: list[str]) -> int:
        """The descriptor of the folder that a member goes into, which is made where it is missing."""
        path = "/".join(parts)
        if self._here and self._here[0] == path and not self._moved:
            return self._here[2]
        self._forget_folder()
        resolved = self._root.resolve(path)
        below = _parts(resolved)
        if len(below) > self._budget.limits.depth:
            raise BadLayer(f"more than {self._budget.limits.depth} folders deep")
        fd = os.open(".", _FOLDER, dir_fd=self._root.fd)
        for part in below:
            fd = _into(fd, part)
        self._here = (path, resolved, fd)
        return fd

    def _forget_folder(self) -> None:
        if self._here:
            os.close(self._here[2])
            self._here = None
        self._moved = False

    @contextlib.contextmanager
    def _folder_again(self, path: str) -> Generator[int | None]:
        """A folder that was here; None when something else has taken its place."""
        try:
            fd = self._root.folder(path, links=False)
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        except OSError as err:
            if err.errno not in (errno.ELOOP, errno.EXDEV):
                raise
            yield None
            return
        try:
            yield fd
        finally:
            os.close(fd)

    @property
    def _resolved(self) -> str:
        assert self._here, "_folder was called before"
        return self._here[1].rstrip("/")

    # --- members

    def _make_folder(self, folder: int, name: str, member: Member) -> None:
        here = f"{self._resolved}/{name}"
        if not _is_folder(folder, name):
            self._remove(folder, name)
            os.mkdir(name, 0o700, dir_fd=folder)
        fd = os.open(name, _FOLDER, dir_fd=folder)
        try:
            self._describe(fd, member)
        finally:
            os.close(fd)
        self._times[here] = _times(member)

    def _make_file(self, folder: int, name: str, member: Member) -> None:
        with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=folder), "wb") as file:
            self._reader.copy(member, file)
            file.flush()
            self._describe(file.fileno(), member)
            os.utime(file.fileno(), ns=_times(member))

    def _link(self, folder: int, name: str, member: Member) -> None:
        target, shown_target = _parts(member.linkname), shown(member.linkname)
        if not target or (self._whiteouts and target[-1].startswith(WHITEOUT)):
            raise BadLayer(f"a hard link to {shown_target}, which is no file")
        try:
            with self._root.parent("/".join(target)) as (target_folder, existing):
                status = os.stat(existing, dir_fd=target_folder, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    raise BadLayer(f"a hard link to {shown_target}, which is a folder")
                if _same(folder, name, status):
                    return
                self._remove(folder, name)
                os.link(existing, name, src_dir_fd=target_folder, dst_dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError) as err:
            raise BadLayer(f"a hard link to {shown_target}, which is not in this layer before it") from err

    def _remove(self, folder: int, name: str) -> None:
        """Make room; nothing there is no error."""
        here = f"{self._resolved}/{name}"
        with contextlib.suppress(FileNotFoundError):
            if _is_folder(folder, name):
                for path in [path for path in self._times if f"{path}/".startswith(f"{here}/")]:
                    del self._times[path]
            inroot.remove_at(folder, name)
            self._moved = True

    def _describe(self, file: int | str, member: Member) -> None:
        """Set owner, mode and extended attributes in this order: chown takes set-user-ID and capabilities away."""
        if self._chown:
            os.chown(file, *_owner(member))
        os.chmod(file, member.mode & 0o7777)  # noqa: PTH101 — a descriptor, most times
        for name, value in member.xattrs.items():
            if is_kept(name):
                _set_xattr(file, name, value)

    def _describe_by_name(self, folder: int, name: str, member: Member) -> None:
        """The same for what is not opened: links, which have no mode, and fifos."""
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            if not member.issym():
                self._describe(inroot.by_descriptor(fd), member)
            elif self._chown:
                os.chown(name, *_owner(member), dir_fd=folder, follow_symlinks=False)
            os.utime(name, ns=_times(member), dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(fd)

    # --- whiteouts

    def _is_whiteout(self, parts: list[str]) -> bool:
        """Keep a marker of what lower layers have to be hidden, under its own name until all members are there."""
        *above, name = parts
        if any(part.startswith(_AUFS) for part in above) or (name.startswith(_AUFS) and name != OPAQUE):
            return True
        if any(part.startswith(WHITEOUT) for part in above):
            raise BadLayer("a whiteout is not a folder")
        if not name.startswith(WHITEOUT):
            return False
        if name.removeprefix(WHITEOUT) in ("", ".", ".."):
            raise BadLayer("a whiteout of no name")
        folder = self._folder(above)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(name, _NEW, 0o600, dir_fd=folder))
        self._marked.add(self._resolved or "/")
        return True

    def _convert_whiteouts(self, path: str) -> None:
        """Turn the markers of a folder into what overlay understands."""
        with self._folder_again(path) as fd:
            if fd is None:
                return
            for marker in os.listdir(fd):  # noqa: PTH208 — by the descriptor
                if not marker.startswith(WHITEOUT):
                    continue
                os.unlink(marker, dir_fd=fd)
                name = marker.removeprefix(WHITEOUT)
                if marker == OPAQUE:
                    os.setxattr(fd, OPAQUE_XATTR, b"y")
                elif _is_folder(fd, name):  # a new folder, not that of the layers below with more in it
                    below = os.open(name, _FOLDER, dir_fd=fd)
                    try:
                        os.setxattr(below, OPAQUE_XATTR, b"y")
                    finally:
                        os.close(below)
                else:
                    with contextlib.suppress(FileExistsError):  # a new file hides the old one anyway
                        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=fd)


@contextlib.contextmanager
def _named(member: Member) -> Generator[None]:
    """Say which member an error is about; BadLayer unless the machine itself is in trouble."""
    try:
        yield
    except BadImage as err:
        raise BadLayer(f"{shown(member.name)}: {err}") from err
    except (ValueError, OverflowError) as err:  # a number or a name that no system call takes
        raise BadLayer(f"{shown(member.name)}: {err}") from err
    except OSError as err:
        if err.errno in _OURS:
            raise
        raise BadLayer(f"{shown(member.name)}: {err.strerror}") from err


def _parts(name: str) -> list[str]:
    """A member's name without ``.`` and ``..``; BadLayer when it leads out of the layer."""
    parts: list[str] = []
    for part in _text(name).split("/"):
        if part == "..":
            if not parts:
                raise BadLayer("leads out of the layer")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return parts


def is_kept(attribute: str) -> bool:
    """Whether a file of an image may have an extended attribute of this name."""
    return attribute in _KEPT or (attribute.startswith("user.") and not attribute.startswith(_OVERLAYS))


def _text(name: str) -> str:
    if "\0" in name:
        raise BadLayer("a name with a NUL")
    return name


def _into(fd: int, name: str) -> int:
    """Go into a folder, which is made where it is missing; never through a link. The first descriptor is closed."""
    try:
        try:
            return os.open(name, _FOLDER, dir_fd=fd)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=fd)
            below = os.open(name, _FOLDER, dir_fd=fd)
            os.fchown(below, os.geteuid(), os.getegid())  # also in a folder with the set-group-id bit
            os.fchmod(below, 0o755)  # whatever the umask is
            return below
    finally:
        os.close(fd)


def _is_folder(fd: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _same(fd: int, name: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(name, dir_fd=fd, follow_symlinks=False), status)
    except FileNotFoundError:
        return False


def _owner(member: Member) -> tuple[int, int]:
    for kind, number in (("user", member.uid), ("group", member.gid)):
        if not 0 <= number < _NO_ID:
            raise BadLayer(f"the {kind} id {number} is not between 0 and {_NO_ID - 1}")
    return member.uid, member.gid


def _times(member: Member) -> tuple[int, int]:
    """When a member was read and changed last, in nanoseconds; the epoch for what no file system keeps."""
    seconds = float(member.mtime)
    nanoseconds = int(seconds * 1e9) if math.isfinite(seconds) and 0 <= seconds < _LAST_SECOND else 0
    return nanoseconds, nanoseconds


def _set_xattr(file: int | str, name: str, value: bytes) -> None:
    try:
        os.setxattr(file, name, value)
    except OSError as err:
        if err.errno == errno.ENOTSUP:
            return  # a file system that has none
        raise BadLayer(f"the extended attribute {shown(name)}: {err.strerror}") from err
