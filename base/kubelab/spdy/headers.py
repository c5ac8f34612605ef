"""Header blocks of SPDY/3: name/value pairs, compressed with one zlib stream for each direction of a connection.

https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/#TOC-2.6.10-Name-Value-Header-Block
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from kubelab.spdy.errors import ProtocolError

MAX_BLOCK = 64 << 10  # bytes, decompressed

_U32 = struct.Struct(">I")

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_MORE_WORDS = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(_U32.pack(len(w)) + w.encode() for w in (*_WORDS.split(), *_MORE_WORDS)) + _TAIL.encode()
"""What both sides preset zlib with. Its Adler-32 sum, which every first block carries, is 0xE3C6A7C2."""


class HeaderCompressor:
    """Makes the blocks of one direction."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(zdict=DICTIONARY)

    def compress(self, headers: Mapping[str, str]) -> bytes:
        """Encode headers; names become lower case, as the protocol demands. ValueError for one that does not fit."""
        parts = [_U32.pack(len(headers))]
        for name, value in headers.items():
            for text in (name.lower(), value):
                data = text.encode("latin-1", "replace")
                parts += (_U32.pack(len(data)), data)
        block = b"".join(parts)
        if len(block) > MAX_BLOCK:
            raise ValueError(f"headers of {len(block)} bytes, at most {MAX_BLOCK} are allowed")
        return self._zlib.compress(block) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class HeaderDecompressor:
    """Reads the blocks of one direction. Every block has to be read: each depends on those before it."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zdict=DICTIONARY)

    def decompress(self, data: bytes) -> dict[str, str]:
        """Decode a block. ProtocolError for one that is broken, or larger than ``MAX_BLOCK``."""
        try:
            block = self._zlib.decompress(data, MAX_BLOCK + 1)
        except zlib.error as err:
            raise ProtocolError(f"a header block that zlib refuses: {err}") from err
        if len(block) > MAX_BLOCK or self._zlib.unconsumed_tail:
            raise ProtocolError(f"a header block of more than {MAX_BLOCK} bytes")
        return _pairs(block)


def _pairs(block: bytes) -> dict[str, str]:
    count, at = _number(block, 0)
    headers: dict[str, str] = {}
    for _ in range(count):
        name, at = _text(block, at)
        value, at = _text(block, at)
        if not name or name != name.lower() or name in headers:
            raise ProtocolError(f"header name {name!r}: expected a lower-case name that occurs once")
        headers[name] = value
    if at != len(block):
        raise ProtocolError(f"{len(block) - at} bytes after the last header")
    return headers


def _number(block: bytes, at: int) -> tuple[int, int]:
    if at + 4 > len(block):
        raise ProtocolError("a header block that ends too early")
    return _U32.unpack_from(block, at)[0], at + 4


def _text(block: bytes, at: int) -> tuple[str, int]:
    size, at = _number(block, at)
    if at + size > len(block):
        raise ProtocolError("a header block that ends too early")
    return block[at : at + size].decode("latin-1"), at + size
