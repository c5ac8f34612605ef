"""Decode what a process printed.

Chaos Toolkit guesses the encoding of a process' output, and takes short ASCII texts for UTF-16
(https://github.com/chaostoolkit/chaostoolkit-lib/issues/47). UTF-8 is tried first here; the rest is left to the guess.
"""

from __future__ import annotations

import chaoslib
from chaoslib.provider import process


def utf8_first(data: bytes, default_encoding: str = "utf-8") -> str:
    """Decode bytes. Raises chaoslib's ActivityFailed for what has no encoding that it knows."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return chaoslib.decode_bytes(data, default_encoding)


def use() -> None:
    """Let process activities decode so."""
    process.decode_bytes = utf8_first
