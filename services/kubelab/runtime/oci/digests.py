"""Digests of content: sha256, sha384 and sha512 (https://github.com/opencontainers/image-spec/blob/main/descriptor.md)."""

from __future__ import annotations

import hashlib
from typing import IO, Protocol

from kubelab.runtime.oci.limits import BadImage

BLOCK = 1 << 20


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Hash:
    """Takes bytes in, and says at the end whether they are what a digest says."""

    def __init__(self, digest: str) -> None:
        """``digest`` has passed :func:`kubelab.apimachinery.references.check_digest`."""
        self.expected = digest
        self._algorithm = digest.partition(":")[0]
        self._hash = hashlib.new(self._algorithm)

    def update(self, content: bytes) -> None:
        self._hash.update(content)

    def check(self, what: str) -> None:
        """BadImage, which names both digests."""
        if (actual := f"{self._algorithm}:{self._hash.hexdigest()}") != self.expected:
            raise BadImage(f"{what}: expected {self.expected}, got {actual}")


def sha256(content: bytes) -> str:
    """The digest under which the store keeps bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def check(content: bytes, digest: str, what: str) -> bytes:
    """Give bytes back that are what a digest says; BadImage."""
    hashed = Hash(digest)
    hashed.update(content)
    hashed.check(what)
    return content


def copy(source: Readable, target: IO[bytes], digest: str, what: str) -> int:
    """Copy a stream to its end and give its size; BadImage when it is not what a digest says."""
    hashed, size = Hash(digest), 0
    while block := source.read(BLOCK):
        hashed.update(block)
        target.write(block)
        size += len(block)
    hashed.check(what)
    return size
