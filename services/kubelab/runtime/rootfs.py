"""Which overlays make up a container's root: the image's layers, over the host's folders where it is based on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kubelab.runtime.hostbase import Host


@dataclass(frozen=True, slots=True)
class Overlay:
    """One overlay of a root: ``at`` is "" or a folder such as ``/usr``; ``lower`` has the highest layer first."""

    at: str
    lower: tuple[str, ...]
    upper: str
    work: str


def overlays(layers: Sequence[Path], host: Host | None, writable: Path) -> list[Overlay]:
    """Describe a root over ``layers`` (lowest first), and make the folders in ``writable`` that it writes to.

    With a host its system folders are seen too: each is an overlay of its own, because overlay does not
    look through mounts, and because nothing else of the host may be seen.
    """
    upwards = [str(layer) for layer in reversed(layers)]
    bottom = str(host.skeleton) if host else str(_made(writable / "empty"))
    parts = [_overlay("", (*upwards, bottom), writable)]
    for folder in host.folders if host else ():
        of_layers = [layer + folder for layer in upwards if Path(layer + folder).is_dir()]
        parts.append(_overlay(folder, (*of_layers, folder), writable))
    return parts


def _overlay(at: str, lower: tuple[str, ...], writable: Path) -> Overlay:
    name = at.strip("/") or "root"
    upper, work = _made(writable / "upper" / name), _made(writable / "work" / name)
    upper.chmod(0o755)
    return Overlay(at, lower, str(upper), str(work))


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def as_request(parts: Sequence[Overlay]) -> list[dict[str, Any]]:
    """As a launcher's request carries them."""
    return [asdict(part) for part in parts]


def written(writable: Path) -> Path:
    """Join what was written into one folder, a layer: the upper folders of the parts go where they belong."""
    root = writable / "upper" / "root"
    for part in (writable / "upper").iterdir():
        if part.name != "root" and any(part.iterdir()):
            target = root / part.name
            if target.is_dir():
                target.rmdir()  # an empty mount point
            part.rename(target)
    return root
