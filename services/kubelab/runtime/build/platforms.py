"""``FROM --platform`` and ``--platform``: a machine builds for its own, and Dockerfiles may ask which that is."""

from __future__ import annotations

import re

from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.oci.platforms import Platform, machine, rank

_PART = re.compile(r"[A-Za-z0-9_.-]+")
_SYSTEMS = ("linux", "windows", "darwin", "freebsd")


def parse(text: str) -> Platform:
    """``linux/arm64/v8``, ``amd64``, ``linux``; SyntaxFault."""
    parts = [part.lower() for part in text.split("/")]
    if len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts):
        raise SyntaxFault(f'"{text[:60]}": invalid platform: expected OS/ARCHITECTURE, such as linux/amd64')
    if len(parts) == 1:
        parts = [parts[0], machine().architecture] if parts[0] in _SYSTEMS else ["linux", parts[0]]
    return Platform(*parts)


def check(text: str) -> None:
    """SyntaxFault for a platform that this machine does not build for; "" is its own."""
    if text and rank(parse(text), machine()) != 0:
        raise SyntaxFault(f"platform {parse(text)}: this machine builds for {machine()} only")


def arguments() -> dict[str, str]:
    """The ARGs that every Dockerfile may use without declaring a default."""
    mine = machine()
    values_by_name: dict[str, str] = {}
    for kind in ("BUILD", "TARGET"):
        values = {"PLATFORM": str(mine), "OS": mine.os, "ARCH": mine.architecture, "VARIANT": mine.variant}
        values_by_name |= {f"{kind}{key}": value for key, value in values.items()}
    return values_by_name
