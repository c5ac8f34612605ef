"""Protobuf's wire format, where messages are put together from encoded parts
(https://protobuf.dev/programming-guides/encoding/)."""

from __future__ import annotations


def varint(n: int) -> bytes:
    """Encode a length."""
    if n < 0x80:
        return bytes((n,))
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def delimited(field: int, value: bytes) -> bytes:
    """Encode a bytes, string or message field."""
    return varint(field << 3 | 2) + varint(len(value)) + value
