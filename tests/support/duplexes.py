"""Reading of streams in tests."""

from __future__ import annotations

from typing import Protocol


class Readable(Protocol):
    """What has bytes to read; b"" is its end."""

    async def read(self) -> bytes: ...


async def rest(stream: Readable) -> bytes:
    """Give all that still comes."""
    parts: list[bytes] = []
    while part := await stream.read():
        parts.append(part)
    return b"".join(parts)
