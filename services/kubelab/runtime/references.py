"""Image names as people write them, and as they are meant
(https://docs.docker.com/reference/cli/docker/image/tag/)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DOMAIN = re.compile(r"(localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|[A-Za-z0-9.-]+:\d+|\[[0-9a-fA-F:]+\](:\d+)?)")
_PATH = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
HUB = "docker.io"


class BadReference(ValueError):
    """The text names no image."""


@dataclass(frozen=True, slots=True)
class Reference:
    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """``docker.io/library/node``."""
        return f"{self.domain}/{self.path}"

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def familiar(self) -> str:
        """``node:latest``: without what everybody takes for granted."""
        name = self.name.removeprefix(f"{HUB}/").removeprefix("library/") if self.domain == HUB else self.name
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """``node`` → docker.io/library/node:latest; BadReference, in Docker's words."""
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise BadReference(f"invalid reference format: {text!r}: digest must be sha256:<64 hexadecimal digits>")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    domain, slash, path = name.partition("/")
    if not slash or not _DOMAIN.fullmatch(domain):
        domain, path = HUB, name
    if domain == HUB and "/" not in path:
        path = f"library/{path}"
    if not _PATH.fullmatch(path) or rest.endswith(":") or (tag and not _TAG.fullmatch(tag)):
        told = "repository name must be lowercase" if path.lower() != path else f"{text!r}"
        raise BadReference(f"invalid reference format: {told}")
    return Reference(domain, path, tag or ("" if digest else "latest"), digest)
