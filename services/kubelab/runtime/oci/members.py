"""The files of an archive, found by name among its members and nowhere else."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import IO, cast

from kubelab.runtime.oci.limits import BadImage, Budget, Limits
from kubelab.runtime.oci.tarball import Member, Reader, shown

_MAX_LINKS = 40


class Members:
    """An uncompressed archive in a file with a descriptor. Names are those that descriptions use; links are followed
    within the archive. BadImage for a damaged archive, and for a member that leads out of it."""

    def __init__(self, file: IO[bytes], limits: Limits) -> None:
        self._file, self._limits = file, limits
        self._members: dict[str, Member] = {}
        for member in Reader(file, Budget(limits)):
            self._members["/".join(_parts(member.name))] = member  # the last of a name counts, as when tar extracts
        self._size = os.fstat(file.fileno()).st_size

    def has(self, name: str) -> bool:
        """Whether there is a regular file of this name."""
        return self._find(name) is not None

    def open(self, name: str) -> IO[bytes]:
        """Read a file, from its beginning; several may be open at once. BadImage."""
        member = self._find(name)
        if member is None:
            raise BadImage(f"{shown(name)} is missing from the archive")
        if member.holes is not None:
            raise BadImage(f"{shown(name)} is kept with holes; write the archive without --sparse")
        if member.offset_data + member.size > self._size:
            raise BadImage(f"the archive is cut off in {shown(name)}")
        return cast(IO[bytes], _Part(self._file.fileno(), member.offset_data, member.size))

    def document(self, name: str) -> bytes:
        """A small file's content; BadImage."""
        with self.open(name) as file:
            content = file.read(self._limits.document + 1)
        if len(content) > self._limits.document:
            raise BadImage(f"{shown(name)} is larger than {self._limits.document} bytes")
        return content

    def holder_of(self, names: Iterable[str]) -> str:
        """A member in a folder that has one of these as its own name; "" if there is none."""
        targets = {*names}
        below = (name for name in self._members if "/" in name)
        return next((shown(name) for name in below if name.rpartition("/")[2] in targets), "")

    def _find(self, name: str) -> Member | None:
        """Walk to a name, links taken as if the archive's top were the root."""
        remaining, here, links = _parts(name), list[str](), 0
        while remaining:
            part = remaining.pop(0)
            if part == "..":
                here = here[:-1]
                continue
            here.append(part)
            member = self._members.get("/".join(here))
            if member is None or not (member.issym() or member.islnk()):
                continue
            links += 1
            if links > _MAX_LINKS:
                raise BadImage(f"{shown(name)}: too many links in the archive")
            target = member.linkname
            here = [] if member.islnk() or target.startswith("/") else here[:-1]
            remaining = [part for part in target.split("/") if part not in ("", ".")] + remaining
        member = self._members.get("/".join(here))
        return member if member is not None and member.isreg() else None


class _Part(io.RawIOBase):
    """A piece of a file, with a position of its own."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        super().__init__()
        self._descriptor, self._start, self._size = descriptor, start, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        remaining = max(0, self._size - self._position)
        block = os.pread(
            self._descriptor, remaining if size < 0 else min(size, remaining), self._start + self._position
        )
        self._position += len(block)
        return block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position


def _parts(name: str) -> list[str]:
    """A member's name without ``.`` and ``..``; BadImage when it leads out of the archive, whose top is ``/``."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise BadImage(f"{shown(name)}: leads out of the archive")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return parts
