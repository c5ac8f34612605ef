"""Image names: the grammar, and how short names are completed.

::

    reference := [domain "/"] path [":" tag] ["@" digest]
    node                      → docker.io/library/node:latest
    [::1]:5000/team/app:1     → itself
    index.docker.io/node:18   → docker.io/library/node:18

The rules and the messages are those of https://pkg.go.dev/github.com/distribution/reference and, for digests, of
https://pkg.go.dev/github.com/opencontainers/go-digest: docker, containerd and Kubernetes use both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HUB = "docker.io"
LATEST = "latest"
MAX_PATH = 255  # characters

_LEGACY_HUB = "index.docker.io"
_LIBRARY = "library/"  # where the Hub keeps images without an owner
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"\w[\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_PATH})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?", re.ASCII
)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}", re.ASCII)
_ANY_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+", re.ASCII)
_HEXADECIMAL = re.compile(r"[a-f0-9]+", re.ASCII)
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}  # hexadecimal digits


class BadReference(ValueError):
    """The text names no image, or is no digest; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's whole name. There is a tag or a digest, or both; with both, only the digest decides."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """``docker.io/library/node``."""
        return f"{self.domain}/{self.path}"

    @property
    def decisive(self) -> str:
        """The name under which an image is kept: ``NAME@DIGEST`` where there is a digest, else ``NAME:TAG``."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def familiar(self) -> str:
        """``node:latest``: without the Hub's domain, and without the Hub's ``library/``."""
        name = self.name
        if self.domain == HUB:
            owned = self.path.removeprefix(_LIBRARY)
            name = self.path if "/" in owned else owned
        return name + str(self)[len(self.name) :]


def parse(text: str) -> Reference:
    """Give the whole name that a text means, with ``latest`` where it has neither tag nor digest; BadReference."""
    if _IDENTIFIER.fullmatch(text):
        raise BadReference(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, rest = _split(text)
    repository = rest.partition(":")[0]
    if repository.lower() != repository:
        raise BadReference(f"invalid reference format: repository name ({repository}) must be lowercase")
    match = _REFERENCE.fullmatch(f"{domain}/{rest}")
    if match is None or not match["domain"]:  # what stands in the domain's place may be no domain: 0.0_0/0
        raise BadReference("invalid reference format")
    if len(match["path"]) > MAX_PATH:
        raise BadReference(f"repository name must not be more than {MAX_PATH} characters")
    tag, digest = match["tag"] or "", match["digest"] or ""
    if digest:
        check_digest(digest)
    return Reference(match["domain"], match["path"], tag or ("" if digest else LATEST), digest)


def is_reference(text: str) -> bool:
    """Whether a text follows the grammar, as it stands: what ``kubectl run --image`` looks at."""
    return _REFERENCE.fullmatch(text) is not None


def check_digest(text: str) -> str:
    """Give a digest back that is ``sha256:…``, ``sha384:…`` or ``sha512:…`` with all its digits; BadReference."""
    algorithm, separator, encoded = text.partition(":")
    if not algorithm or not separator or not encoded:
        raise BadReference("invalid checksum digest format")
    length = _DIGEST_LENGTHS.get(algorithm)
    if length is None:
        is_digest = _ANY_DIGEST.fullmatch(text) is not None
        raise BadReference("unsupported digest algorithm" if is_digest else "invalid checksum digest format")
    if len(encoded) != length:
        raise BadReference("invalid checksum digest length")
    if not _HEXADECIMAL.fullmatch(encoded):
        raise BadReference("invalid checksum digest format")
    return text


def _split(text: str) -> tuple[str, str]:
    """Take the domain off, which is the Hub's where the part before the first slash looks like none."""
    first, slash, rest = text.partition("/")
    if not slash:
        return HUB, _LIBRARY + text
    if first == _LEGACY_HUB:
        first = HUB
    if first != "localhost" and not any(mark in first for mark in ".:") and first.lower() == first:
        return HUB, text
    return (HUB, _LIBRARY + rest) if first == HUB and "/" not in rest else (first, rest)
