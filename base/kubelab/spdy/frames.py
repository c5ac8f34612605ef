"""Frames of SPDY/3.1, as bytes and as objects; pure, without any input or output.

Control frames: one bit 1, 15 bits version, 16 bits type, 8 bits flags, 24 bits length. Data frames: one bit 0, 31 bits
stream, 8 bits flags, 24 bits length. https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kubelab.spdy.errors import ProtocolError
from kubelab.spdy.headers import HeaderCompressor, HeaderDecompressor

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 0x01
UNIDIRECTIONAL = 0x02
MAX_CONTROL = 64 << 10  # bytes of a control frame's body
MAX_DATA = 0xFFFFFF  # bytes of a data frame's body
MAX_STREAM = 0x7FFFFFFF

# RST_STREAM's status codes.
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, UNSUPPORTED_VERSION, CANCEL = 1, 2, 3, 4, 5

_HEAD = struct.Struct(">II")
_ONE, _TWO = struct.Struct(">I"), struct.Struct(">II")
_SYN = struct.Struct(">IIBB")


@dataclass(frozen=True, slots=True)
class SynStream:
    """Opens a stream. ``fin``: its opener writes nothing in it."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    fin: bool = False
    priority: int = 0
    associated: int = 0
    unidirectional: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    stream: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Headers:
    stream: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    fin: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    stream: int
    status: int = CANCEL


@dataclass(frozen=True, slots=True)
class Settings:
    """Read and ignored: none of them concerns byte streams."""

    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Ping:
    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream: int
    status: int = 0


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    stream: int
    delta: int


@dataclass(frozen=True, slots=True)
class Data:
    """A data frame, or a part of one: a decoder gives what it has, and ``fin`` with the last part."""

    stream: int
    data: bytes = b""
    fin: bool = False


Frame = SynStream | SynReply | Headers | RstStream | Settings | Ping | GoAway | WindowUpdate | Data


class FrameEncoder:
    """Frames of one direction to bytes. Their order is that of the bytes on the wire: the headers' compression has
    a memory."""

    def __init__(self) -> None:
        self._headers = HeaderCompressor()

    def encode(self, frame: Frame) -> bytes:
        """ValueError for headers that do not fit in a frame, and for more than ``MAX_DATA`` bytes."""
        match frame:
            case Data(stream, data, fin):
                if len(data) > MAX_DATA:
                    raise ValueError(f"{len(data)} bytes of data, at most {MAX_DATA} fit in a frame")
                return _HEAD.pack(stream, (FIN if fin else 0) << 24 | len(data)) + data
            case SynStream(stream, headers, fin, priority, associated, unidirectional):
                flags = (FIN if fin else 0) | (UNIDIRECTIONAL if unidirectional else 0)
                start = _SYN.pack(stream, associated, priority << 5, 0)
                return _control(SYN_STREAM, flags, start + self._headers.compress(headers))
            case SynReply(stream, headers, fin):
                return _control(SYN_REPLY, int(fin), _ONE.pack(stream) + self._headers.compress(headers))
            case Headers(stream, headers, fin):
                return _control(HEADERS, int(fin), _ONE.pack(stream) + self._headers.compress(headers))
            case RstStream(stream, status):
                return _control(RST_STREAM, 0, _TWO.pack(stream, status))
            case Settings(body):
                return _control(SETTINGS, 0, body)
            case Ping(number):
                return _control(PING, 0, _ONE.pack(number))
            case GoAway(last, status):
                return _control(GOAWAY, 0, _TWO.pack(last, status))
            case WindowUpdate(stream, delta):
                return _control(WINDOW_UPDATE, 0, _TWO.pack(stream, delta))


def _control(kind: int, flags: int, body: bytes) -> bytes:
    if len(body) > MAX_CONTROL:
        raise ValueError(f"a control frame of {len(body)} bytes, at most {MAX_CONTROL} are allowed")
    return _HEAD.pack(0x80000000 | VERSION << 16 | kind, flags << 24 | len(body)) + body


class FrameDecoder:
    """Bytes of one direction to frames, however the bytes are cut. It keeps at most one control frame."""

    def __init__(self) -> None:
        self._headers = HeaderDecompressor()
        self._rest = bytearray()
        self._data: tuple[int, int, bool] | None = None  # of a data frame that is not complete: stream, missing, fin

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes and give the frames, and parts of data frames, that they complete. ProtocolError."""
        rest = self._rest
        rest += data
        at = 0
        try:
            while at < len(rest):
                if self._data is None:
                    if len(rest) - at < 8:
                        return
                    first, second = _HEAD.unpack_from(rest, at)
                    flags, size = second >> 24, second & 0xFFFFFF
                    if not first & 0x80000000:
                        at += 8
                        if not size:
                            yield Data(first, b"", bool(flags & FIN))
                        else:
                            self._data = (first, size, bool(flags & FIN))
                        continue
                    if (first >> 16) & 0x7FFF != VERSION:
                        raise ProtocolError(f"version {(first >> 16) & 0x7FFF}: expected {VERSION}")
                    if size > MAX_CONTROL:
                        raise ProtocolError(f"a control frame of {size} bytes, at most {MAX_CONTROL} are allowed")
                    if len(rest) - at < 8 + size:
                        return
                    body = bytes(rest[at + 8 : at + 8 + size])
                    at += 8 + size
                    frame = self._frame(first & 0xFFFF, flags, body)
                    if frame is not None:
                        yield frame
                else:
                    stream, missing, fin = self._data
                    part = bytes(rest[at : at + missing])
                    at += len(part)
                    missing -= len(part)
                    self._data = (stream, missing, fin) if missing else None
                    yield Data(stream, part, fin and not missing)
        finally:
            del rest[:at]

    def _frame(self, kind: int, flags: int, body: bytes) -> Frame | None:
        """Read a control frame; None for a type that does not exist, which the protocol says to ignore."""
        fin = bool(flags & FIN)
        try:
            match kind:
                case 1:
                    stream, associated, priority, _ = _SYN.unpack_from(body)
                    headers = self._headers.decompress(body[_SYN.size :])
                    one_way = bool(flags & UNIDIRECTIONAL)
                    return SynStream(stream & MAX_STREAM, headers, fin, priority >> 5, associated & MAX_STREAM, one_way)
                case 2 | 8:
                    stream = _ONE.unpack_from(body)[0] & MAX_STREAM
                    headers = self._headers.decompress(body[_ONE.size :])
                    return SynReply(stream, headers, fin) if kind == SYN_REPLY else Headers(stream, headers, fin)
                case 3:
                    stream, status = _TWO.unpack(body)
                    return RstStream(stream & MAX_STREAM, status)
                case 4:
                    return Settings(body)
                case 6:
                    return Ping(_ONE.unpack(body)[0])
                case 7:
                    stream, status = _TWO.unpack(body)
                    return GoAway(stream & MAX_STREAM, status)
                case 9:
                    stream, delta = _TWO.unpack(body)
                    return WindowUpdate(stream & MAX_STREAM, delta & MAX_STREAM)
                case _:
                    return None
        except struct.error as err:
            raise ProtocolError(f"a control frame of type {kind} with {len(body)} bytes: {err}") from err
