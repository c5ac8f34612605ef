"""Reading through a compression: gzip and zstd for layers (image-spec), bzip2 and xz for archives that people pack.

What is compressed is seen by its first bytes, as docker and containerd do; media types and file names are often wrong.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import IO, Any, cast

from kubelab.runtime.oci.limits import BadImage, Budget

_BLOCK = 1 << 20
_MEMORY = 128 << 20  # bytes that a decoder may ask for; zstd's own tool refuses more as well
_USTAR = slice(257, 262)  # where a tar archive says that it is one: a file's name may begin as a compression does
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}
_SKIPPABLE = b"\x2a\x4d\x18"  # bytes 1 to 3 of a zstd frame without content; the first is 0x50 to 0x5f


class Plain(io.RawIOBase):
    """What comes out of a compression: bounded by a budget, with errors in words. Only ``read`` is used."""

    def __init__(self, inner: IO[bytes], compressed: IO[bytes] | None, budget: Budget, what: str) -> None:
        super().__init__()
        self._inner, self._compressed, self._budget, self._what = inner, compressed, budget, what
        self._out = 0

    @property
    def compressed(self) -> bool:
        return self._compressed is not None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most a mebibyte at once, fewer bytes than asked for also before the end; b"" at the end. BadImage."""
        try:
            block = self._inner.read(_BLOCK if size < 0 else min(size, _BLOCK))
        except EOFError as err:
            raise BadImage(f"{self._what} is cut off: {err}") from err
        except (zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError) as err:
            raise BadImage(f"{self._what} cannot be decompressed: {err}") from err
        except OSError as err:
            if err.errno is None:  # bz2's way of saying that its data is bad
                raise BadImage(f"{self._what} cannot be decompressed: {err}") from err
            raise
        self._out += len(block)
        self._budget.plain(len(block))
        self._check_ratio()
        return block

    def _check_ratio(self) -> None:
        limits = self._budget.limits
        if self._compressed is None or self._out < limits.ratio_from:
            return
        if self._out > limits.ratio * max(1, self._compressed.tell()):
            raise BadImage(f"{self._what} grows to more than {limits.ratio} times its size when it is decompressed")


def kind_of(head: bytes) -> str:
    """Name the compression that the first 512 bytes of a file show; "" for none."""
    if head[_USTAR] == b"ustar":
        return ""
    if len(head) >= 4 and head[0] & 0xF0 == 0x50 and head[1:4] == _SKIPPABLE:
        return "zstd"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


@contextmanager
def opened(source: IO[bytes], budget: Budget, what: str) -> Generator[Plain]:
    """Read a seekable file from its beginning through whatever compression it has; ``what`` names it. BadImage."""
    kind = kind_of(source.read(512))
    source.seek(0)
    if kind in ("lz4", "zip"):
        raise BadImage(f"{what} is compressed with {kind}; kubelab reads gzip, zstd, bzip2, xz and plain tar")
    inner = _OPENERS[kind](source) if kind else source
    try:
        yield Plain(inner, source if kind else None, budget, what)
    finally:
        if kind:
            inner.close()


def _gzip(source: IO[bytes]) -> IO[bytes]:
    return cast(IO[bytes], gzip.GzipFile(fileobj=source, mode="rb"))


def _zstd(source: IO[bytes]) -> IO[bytes]:
    import zstandard  # only images that use it pay for it

    decoder = zstandard.ZstdDecompressor(max_window_size=_MEMORY)
    reader = decoder.stream_reader(source, read_across_frames=True, closefd=False)
    return cast(IO[bytes], _Translated(cast(IO[bytes], reader), zstandard.ZstdError))


class _Translated(io.RawIOBase):
    """A reader whose own kind of error becomes ValueError."""

    def __init__(self, inner: IO[bytes], error: type[Exception]) -> None:
        super().__init__()
        self._inner, self._error = inner, error

    def read(self, size: int = -1) -> bytes:
        try:
            return self._inner.read(size)
        except self._error as err:
            raise ValueError(str(err)) from err


class _Streams(io.RawIOBase):
    """One compressed stream after another, by decoders with the interface of bz2 and lzma."""

    def __init__(self, source: IO[bytes], decoder: Callable[[], Any]) -> None:
        super().__init__()
        self._source, self._new = source, decoder
        self._decoder = decoder()
        self._begun = False

    def read(self, size: int = -1) -> bytes:
        while True:
            if self._decoder.eof:
                rest = self._decoder.unused_data.lstrip(b"\0") or self._source.read(_BLOCK).lstrip(b"\0")
                if not rest:
                    return b""
                self._decoder, given = self._new(), rest
            elif self._decoder.needs_input:
                given = self._source.read(_BLOCK)
                if not given:
                    raise EOFError("the end of the compressed stream is missing")
            else:
                given = b""
            if block := self._decoder.decompress(given, max_length=size):
                return block


def _bzip2(source: IO[bytes]) -> IO[bytes]:
    return cast(IO[bytes], _Streams(source, bz2.BZ2Decompressor))


def _xz(source: IO[bytes]) -> IO[bytes]:
    return cast(IO[bytes], _Streams(source, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)))


_OPENERS = {"gzip": _gzip, "zstd": _zstd, "bzip2": _bzip2, "xz": _xz}
