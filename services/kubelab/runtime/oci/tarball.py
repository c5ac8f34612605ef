"""Reading tar archives that others wrote, with Python's own module behind a guard.

The module takes what a header says of its own size for granted: a name of gigabytes, a size below zero that leads back
to the same header for ever, a map of holes that never ends. It also takes a broken header for the end of the archive.
Each of these is a BadImage here.
"""

from __future__ import annotations

import contextlib
import os
import tarfile
from collections.abc import Callable, Generator, Iterator
from typing import IO, Any, cast

from kubelab.runtime.oci.limits import BadImage, Budget

_BLOCK = 1 << 20
XATTR = "SCHILY.xattr."  # star's PAX records, which GNU tar, docker and buildah write
# What the module raises for headers that make no sense, besides its own errors.
_NONSENSE = (ValueError, LookupError, ArithmeticError, RecursionError, EOFError, TypeError)

_READ_ERRORS = {"unexpected end of data": "the archive is cut off", "empty file": "the archive is empty"}


class Member(tarfile.TarInfo):
    """A member whose header is whole, whose size is not below zero and whose map of holes makes sense."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Member:
        try:
            return cast(Member, super().frombuf(buf, encoding, errors))
        except (tarfile.EmptyHeaderError, tarfile.EOFHeaderError):  # pyright: ignore
            raise  # the end, with or without the two empty blocks
        except tarfile.TruncatedHeaderError as err:  # pyright: ignore
            raise BadImage("the archive is cut off") from err
        except tarfile.HeaderError as err:
            raise BadImage(f"not a tar archive, or a damaged one: {err}") from err

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Member:
        member = cast(Member, super().fromtarfile(tarfile))
        if member.size < 0 or tarfile.offset <= member.offset:  # pyright: ignore
            raise BadImage(f"{shown(member.name)}: a size below zero")
        return member

    @property
    def holes(self) -> list[tuple[int, int]] | None:
        """Where the parts with content lie (offset, size), None for a file without holes. BadImage."""
        parts = cast("list[tuple[int, int]] | None", getattr(self, "sparse", None))
        end = 0
        for offset, size in parts or ():
            if offset < end or size < 0:
                raise BadImage(f"{shown(self.name)}: a map of holes that makes no sense")
            end = offset + size
        if end > self.size:
            raise BadImage(f"{shown(self.name)}: a map of holes that makes no sense")
        return parts

    @property
    def xattrs(self) -> dict[str, bytes]:
        """The extended attributes: name → value."""
        return {
            key.removeprefix(XATTR): value.encode("utf-8", "surrogateescape")
            for key, value in self.pax_headers.items()
            if key.startswith(XATTR)
        }


class _Source:
    """A file of which one header may take so many bytes; the module reads a header's parts each in one piece."""

    def __init__(self, inner: IO[bytes], header: int) -> None:
        self._inner, self._header, self._left = inner, header, 0

    def begin(self) -> None:
        """A header, and the way to it, may be read now."""
        self._left = self._header

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise BadImage(f"a header of the archive is larger than {self._header} bytes")
        return self._inner.read(size)

    def content(self, size: int) -> bytes:
        return self._inner.read(size)

    def seek(self, position: int) -> int:
        return self._inner.seek(position)

    def tell(self) -> int:
        return self._inner.tell()


class Reader:
    """An uncompressed archive in a seekable file. Members come in their order."""

    def __init__(self, source: IO[bytes], budget: Budget) -> None:
        self._source = _Source(source, budget.limits.header)
        self._budget = budget
        self._source.begin()
        with self._in_words():
            opened = tarfile.TarFile(
                fileobj=cast(Any, self._source), tarinfo=Member, encoding="utf-8", errors="surrogateescape"
            )
            self._tar = opened

    def __iter__(self) -> Iterator[Member]:
        """BadImage."""
        while True:
            self._source.begin()
            with self._in_words():
                member = cast("Member | None", self._tar.next())
                cast(Any, self._tar).members = []  # it keeps all that it has seen
            if member is None:
                return
            self._budget.entry()
            yield member

    @contextlib.contextmanager
    def _in_words(self) -> Generator[None]:
        try:
            yield
        except BadImage:
            raise
        except tarfile.ReadError as err:
            text = _READ_ERRORS.get(str(err), f"not a tar archive, or a damaged one: {err}")
            raise BadImage(text) from err
        except (tarfile.TarError, *_NONSENSE) as err:
            raise BadImage(f"a header makes no sense: {err}") from err

    def copy(self, member: Member, target: IO[bytes]) -> None:
        """Write a regular file's content to an empty file, with its holes. BadImage when it is cut off."""
        self._source.seek(member.offset_data)
        holes = member.holes
        for offset, size in [(0, member.size)] if holes is None else holes:
            if holes is not None:
                target.seek(offset)
            self._copy(size, target.write, member)
        if holes is not None:
            target.truncate(member.size)

    def _copy(self, remaining: int, write: Callable[[bytes], object], member: Member) -> None:
        while remaining:
            block = self._source.content(min(remaining, _BLOCK))
            if not block:
                raise BadImage(f"the archive is cut off in {shown(member.name)}")
            write(block)
            remaining -= len(block)


def shown(name: str) -> str:
    """A member's name for a message: short, and without what a terminal would act on."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    printable = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return printable if len(printable) <= 200 else printable[:197] + "…"
