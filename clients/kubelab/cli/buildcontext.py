"""A build's context: the files of a folder that ``.dockerignore`` does not exclude, as a stream of tar.

https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import click

IGNORE_FILE = ".dockerignore"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of a ``.dockerignore``; the last one that matches decides."""

    regex: re.Pattern[str]
    excludes: bool


def read_patterns(text: str) -> list[Pattern]:
    """Read a ``.dockerignore``: comments, ``!`` exceptions, ``*``, ``?``, ``[a-z]`` in a part, ``**`` across parts."""
    found: list[Pattern] = []
    for line in text.splitlines():
        told = line.strip()
        if line.startswith("#") or not told:
            continue
        excludes = not told.startswith("!")
        told = told.removeprefix("!").strip()
        parts = [part for part in PurePosixPath(told).parts if part not in ("/", ".")]
        if parts:
            found.append(Pattern(re.compile(_regex(parts)), excludes))
    return found


def ignored(path: str, patterns: list[Pattern]) -> bool:
    """Say whether a relative path is excluded, by itself or with a folder above it."""
    parents = [str(parent) for parent in PurePosixPath(path).parents if str(parent) != "."]
    out = False
    for pattern in patterns:
        if any(pattern.regex.fullmatch(name) for name in (path, *parents)):
            out = pattern.excludes
    return out


def tar_chunks(context: Path, dockerfile: Path, size: int) -> Iterator[bytes]:
    """Yield the context as tar, ``size`` bytes at most at a time. Raises ClickException for an unreadable file."""
    ignore = context / IGNORE_FILE
    patterns = read_patterns(ignore.read_text()) if ignore.is_file() else []
    keep = {IGNORE_FILE, _relative(dockerfile, context)}
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as archive:  # it only describes files here
        for path in _walk(context):
            name = path.relative_to(context).as_posix()
            if name not in keep and ignored(name, patterns):
                continue
            try:
                yield from _member(archive.gettarinfo(path, name), path, size)
            except OSError as err:
                raise click.ClickException(f"cannot read {path}: {err.strerror}") from err
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(info: tarfile.TarInfo, path: Path, size: int) -> Iterator[bytes]:
    """Yield one file: its header, its bytes, and zeros up to the end of the block."""
    if not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
        return  # a socket or a device belongs to no image
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    if info.islnk():  # a second name of the same file gets its own bytes
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", path.stat().st_size
    yield info.tobuf(tarfile.PAX_FORMAT)
    if not info.isreg():
        return
    left = info.size
    with path.open("rb") as file:
        while left and (data := file.read(min(size, left))):
            yield data
            left -= len(data)
    if left:
        raise OSError(0, "it became shorter while it was read")
    yield bytes(-info.size % tarfile.BLOCKSIZE)


def _walk(folder: Path) -> Iterator[Path]:
    """Every path below a folder, sorted, folders before what is in them; links are not followed."""
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _relative(path: Path, context: Path) -> str:
    try:
        return path.resolve().relative_to(context.resolve()).as_posix()
    except ValueError:
        return ""


def _regex(parts: list[str]) -> str:
    out = ""
    for n, part in enumerate(parts):
        last = n == len(parts) - 1
        if part == "**":
            out += ".*" if last else "(?:[^/]+/)*"
        else:
            out += _part(part) + ("" if last else "/")
    return out


def _part(text: str) -> str:
    out, at = "", 0
    while at < len(text):
        char = text[at]
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[" and "]" in text[at + 1 :]:
            end = text.index("]", at + 1)
            out += "[" + text[at + 1 : end].replace("\\", "\\\\") + "]"
            at = end
        elif char == "\\" and at + 1 < len(text):
            at += 1
            out += re.escape(text[at])
        else:
            out += re.escape(char)
        at += 1
    return out
