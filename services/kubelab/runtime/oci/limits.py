"""How much an image from outside may take, and the budget of one that is brought in."""

from __future__ import annotations

from dataclasses import dataclass


class BadImage(ValueError):
    """What was handed in is no image that kubelab can take; the message says to people what is wrong where."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for everything that one load or one pull brings in."""

    bytes: int = 32 << 30  # of unpacked files, and again of the layers' archives
    entries: int = 1_000_000  # files, folders and links
    depth: int = 256  # folders above a file
    ratio: int = 250  # times that a layer may grow when its compression is taken off …
    ratio_from: int = 1 << 30  # … looked at when it has grown to so many bytes
    document: int = 4 << 20  # bytes of a manifest, an index or a configuration (the registries' limit for manifests)
    header: int = 4 << 20  # bytes that describe one member of a tar archive
    images: int = 1000  # images, or entries of an index
    nesting: int = 8  # indexes in an index


class Budget:
    """What is left of the limits while an image is brought in. Each method raises BadImage when it is spent."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._entries, self._unpacked, self._plain = limits.entries, limits.bytes, limits.bytes
        self._downloaded = limits.bytes

    def entry(self) -> None:
        """One more file, folder or link."""
        self._entries -= 1
        if self._entries < 0:
            raise BadImage(f"the image is too large: more than {self.limits.entries} files")

    def unpacked(self, size: int) -> None:
        """So many more bytes of files, holes included."""
        self._unpacked -= size
        if self._unpacked < 0:
            raise BadImage(f"the image is too large: more than {_size(self.limits.bytes)} of files")

    def plain(self, size: int) -> None:
        """So many more bytes that came out of a compressed stream, or came uncompressed."""
        self._plain -= size
        if self._plain < 0:
            raise BadImage(f"the image is too large: more than {_size(self.limits.bytes)} uncompressed")

    def downloaded(self, size: int) -> None:
        """So many more bytes of a registry's layers."""
        self._downloaded -= size
        if self._downloaded < 0:
            raise BadImage(f"the image is too large: more than {_size(self.limits.bytes)} of layers")


def _size(count: int) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        shift = {"GiB": 30, "MiB": 20, "KiB": 10}[unit]
        if count >= 1 << shift:
            return f"{count / (1 << shift):g} {unit}"
    return f"{count} bytes"
