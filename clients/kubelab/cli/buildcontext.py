"""A build's context as a tar stream: the files of a folder that ``.dockerignore`` does not exclude, or a
tar archive from the user, with the same rules."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import normpath
from typing import IO

import click

from kubelab.cli import dockerignore
from kubelab.cli.dockerignore import BadIgnorePattern, IgnorePatterns, Matched

IGNORE_FILE = ".dockerignore"
MAX_BYTES = 8 << 30
SHOWN = 5  # of what is big


@dataclass(slots=True)
class _Level:
    """A folder of the walk, with its remaining entries. ``sent`` is False while it is excluded."""

    path: str
    left: Iterator[os.DirEntry[str]]
    matched: Matched
    sent: bool


@dataclass(slots=True)
class Size:
    """The size of a context; ``parts`` are the bytes below each of its first two levels."""

    bytes: int = 0
    files: int = 0
    parts: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, name: str, size: int) -> None:
        self.bytes += size
        self.files += 1
        part = "/".join(name.split("/")[:2])
        self.parts[part] = self.parts.get(part, 0) + size

    def largest(self) -> str:
        """``node_modules/x (1.2GB), data (300MB)``."""
        first = sorted(self.parts.items(), key=lambda part: -part[1])[:SHOWN]
        return ", ".join(f"{name} ({size_text(size)})" for name, size in first)


def size_text(size: int) -> str:
    """Give a size as crictl does: ``1.45MB``, in powers of a thousand with three digits."""
    number, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while number >= 1000 and len(units) > 1:
        number, units = number / 1000, units[1:]
    return f"{number:.3g}{units[0]}"


def patterns_of(context: Path, dockerfile: Path | None) -> IgnorePatterns:
    """Read the patterns of ``DOCKERFILE.dockerignore`` if that exists, else of ``.dockerignore``. ClickException."""
    specific = dockerfile.with_name(f"{dockerfile.name}{IGNORE_FILE}") if dockerfile else None
    path = specific if specific and specific.is_file() else context / IGNORE_FILE
    if not path.is_file():
        return IgnorePatterns(())
    with _readable(path):
        text = path.read_text(errors="surrogateescape")
    return read_patterns(text, str(path))


def read_patterns(text: str, name: str) -> IgnorePatterns:
    """ClickException."""
    try:
        return dockerignore.read(text, name)
    except BadIgnorePattern as err:
        raise click.ClickException(str(err)) from err


def measure(context: Path, patterns: IgnorePatterns) -> Size:
    """Weigh a folder before it is sent. ClickException for a file that cannot be read, and for too much."""
    size = Size()
    for name, status in entries(context, patterns):
        if stat.S_ISREG(status.st_mode):
            size.add(name, status.st_size)
    if size.bytes > MAX_BYTES:
        text = f"the build context {context} has {size_text(size.bytes)}, and {size_text(MAX_BYTES)} are possible"
        raise click.ClickException(f"{text}; the largest: {size.largest()}. Keep them out in {context / IGNORE_FILE}")
    return size


def tar_chunks(context: Path, patterns: IgnorePatterns, size: int) -> Iterator[bytes]:
    """Yield a folder as tar, ``size`` bytes at most at a time. ClickException for a file that cannot be read."""
    for name, status in entries(context, patterns):
        path = context / name
        with _readable(path):
            yield from _member(path, name, status, size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def entries(context: Path, patterns: IgnorePatterns) -> Iterator[tuple[str, os.stat_result]]:
    """Every path of the context, sorted, folders before what is in them; links are not followed. ClickException."""
    levels = [_Level("", _listed(context), (), sent=True)]
    while levels:
        entry = next(levels[-1].left, None)
        if entry is None:
            levels.pop()
            continue
        above = levels[-1]
        name = f"{above.path}/{entry.name}" if above.path else entry.name
        out, matched = patterns.below(name, above.matched)
        folder = entry.is_dir(follow_symlinks=False)
        if out and not (folder and patterns.may_take_back_below(name)):
            continue
        if not out:
            for level in levels:  # a folder that was kept out is there for what is in it
                if not level.sent:
                    level.sent = True
                    yield level.path, (context / level.path).lstat()
            with _readable(context / name):
                status = entry.stat(follow_symlinks=False)
            yield name, status
        if folder:
            levels.append(_Level(name, _listed(context / name), matched, sent=not out))


def _listed(folder: Path) -> Iterator[os.DirEntry[str]]:
    with _readable(folder), os.scandir(folder) as listing:
        return iter(sorted(listing, key=lambda entry: entry.name))


@contextlib.contextmanager
def _readable(path: Path) -> Generator[None]:
    """Turn an OSError of the body into a ClickException that names the file."""
    try:
        yield
    except OSError as err:
        raise click.ClickException(f"cannot read {path}: {err.strerror or err}") from err


def _member(path: Path, name: str, status: os.stat_result, size: int) -> Iterator[bytes]:
    """Yield one file: its header, its bytes, and zeros up to the end of the block. OSError."""
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), status.st_mtime
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        info.size = status.st_size
    else:
        return  # a socket or a device belongs to no image
    yield info.tobuf(tarfile.PAX_FORMAT)
    if not info.isreg():
        return
    remaining = info.size
    with path.open("rb") as file:
        while remaining and (data := file.read(min(size, remaining))):
            yield data
            remaining -= len(data)
    if remaining:
        raise OSError(0, "it became shorter while it was read")
    yield bytes(-info.size % tarfile.BLOCKSIZE)


# --- a context that is an archive already


@dataclass(slots=True)
class Archive:
    """A context from the standard input, kept in a file: a tar of any compression."""

    file: IO[bytes]

    def read(self, name: str) -> str | None:
        """A text file in it; None where it is not there. ClickException."""
        with self._opened() as tar:
            for member in tar:
                if normpath(member.name) == normpath(name) and member.isreg() and (content := tar.extractfile(member)):
                    return content.read().decode(errors="surrogateescape")
        return None

    def chunks(self, patterns: IgnorePatterns | None, size: int) -> Iterator[bytes]:
        """The archive as it is, or without what is kept out. ClickException."""
        if patterns is None:
            self.file.seek(0)
            while data := self.file.read(size):
                yield data
            return
        with self._opened() as tar:
            written = io.BytesIO()
            archive = tarfile.open(fileobj=written, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115
            for member in tar:
                name = normpath("/" + member.name).lstrip("/")
                if not name or patterns.excluded(name):
                    continue
                content = tar.extractfile(member) if member.isreg() else None
                archive.addfile(member, content)
                yield _taken(written)
            archive.close()
            yield _taken(written)

    def _opened(self) -> tarfile.TarFile:
        self.file.seek(0)
        try:
            return tarfile.open(fileobj=self.file, mode="r:*")
        except (tarfile.TarError, OSError, EOFError) as err:
            raise click.ClickException(
                f"unable to prepare context: the standard input is no tar archive: {err}"
            ) from err


def _taken(buffer: io.BytesIO) -> bytes:
    data = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return data


def is_archive(head: bytes) -> bool:
    """Whether 512 bytes begin a tar, or something compressed (moby's archive.IsArchive)."""
    compressed = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
    if head.startswith(compressed) or head[257:262] == b"ustar":
        return True
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True
