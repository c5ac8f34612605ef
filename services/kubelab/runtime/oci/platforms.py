"""Which platforms' images this machine can run, the best first (as containerd's ``platforms.Only``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubelab.linux.architecture import architecture

_SAME = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "i386": "386",
}  # written by some tools
_FALLBACKS = {"amd64": ("386",), "arm64": ("arm",)}
_PLAIN = {"amd64": ("", "v1"), "arm64": ("", "v8")}  # variants that every machine of an architecture runs


@dataclass(frozen=True, slots=True)
class Platform:
    """``linux/arm64/v8``; what a description leaves out is empty."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os or "unknown", self.architecture or "unknown", self.variant) if part)

    @property
    def known(self) -> bool:
        """False for ``unknown/unknown``, which BuildKit writes for what is no image, and where nothing is said."""
        return not {self.os, self.architecture} & {"", "unknown"}


def machine() -> Platform:
    """This machine's."""
    return Platform("linux", architecture())


def rank(platform: Platform, here: Platform) -> int | None:
    """How well an image fits ``here``: 0 is best, None does not run. One that does not say what it is for fits."""
    if platform.os not in ("", here.os):
        return None
    architecture = _SAME.get(platform.architecture, platform.architecture)
    if architecture in ("", here.architecture):
        return 0 if platform.variant in _PLAIN.get(here.architecture, ("", platform.variant)) else None
    if architecture in (fallbacks := _FALLBACKS.get(here.architecture, ())):
        return 1 + fallbacks.index(architecture)
    return None


def no_match(platforms: Iterable[Platform], here: Platform) -> str:
    """containerd's words, and which platforms there are."""
    names = ", ".join(sorted({str(one) for one in platforms if one.known})) or "none"
    return f"no match for platform in manifest: this machine is {here}, the image is for {names}"
