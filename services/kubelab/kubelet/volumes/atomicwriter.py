"""Files that change together: a program in the container sees all the old ones or all the new ones.

The layout is upstream's (``pkg/volume/util/atomic_writer.go``)::

    <volume>/..2026_01_02_03_04_05.x7k2/  a folder for each version
    <volume>/..data -> ..2026_…           renamed into place: this is the moment of the change
    <volume>/app.conf -> ..data/app.conf  what the container opens

Containers have these folders read-only, so what lies here is the kubelet's own. All functions block. A write that was
cut short is finished by the next one: versions that nothing points to are removed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

DATA, DATA_TMP = "..data", "..data_tmp"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class File(NamedTuple):
    """One file; ``user`` owns it where it is given, else the kubelet's user does."""

    content: bytes
    mode: int
    user: int | None = None


Payload = Mapping[str, File]
"""By path in the volume: relative, and without ``..``."""


def write(target: Path, payload: Payload, now: float, own: Callable[[Path], None] = lambda _: None) -> bool:
    """Make the volume's files these; say whether anything changed. ``own`` gives the new files their group before
    anybody sees them. OSError; ValueError for a path that leads out of the volume."""
    for path in payload:
        _check(path)
    current = _current(target)
    changed = current is None or _contents(current) != {path: file.content for path, file in payload.items()}
    if changed:
        current = _new_version(target, payload, now, own)
        (target / DATA_TMP).unlink(missing_ok=True)
        (target / DATA_TMP).symlink_to(current.name)
        (target / DATA_TMP).rename(target / DATA)
    assert current is not None, "a version is there, or was made"
    _link(target, {path.partition("/")[0] for path in payload})
    _remove_versions(target, keep=current.name)
    return changed


def _check(path: str) -> None:
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or parts[0].startswith("..") or "\0" in path:
        raise ValueError(f"invalid path {path!r}: expected a relative one that does not lead out of the volume")


def _current(target: Path) -> Path | None:
    try:
        name = str((target / DATA).readlink())
    except FileNotFoundError:
        return None
    return target / name if "/" not in name and (target / name).is_dir() else None


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for base, _, names in os.walk(folder)
        for path in (Path(base, name) for name in names)
    }


def _new_version(target: Path, payload: Payload, now: float, own: Callable[[Path], None]) -> Path:
    stamp = datetime.fromtimestamp(now, UTC).strftime("..%Y_%m_%d_%H_%M_%S.")
    fresh = Path(tempfile.mkdtemp(prefix=stamp, dir=target))
    fresh.chmod(0o755)
    for path, file in payload.items():
        place = fresh / path
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with os.fdopen(os.open(place, _NEW, 0o600), "wb") as out:
            out.write(file.content)
            os.fchmod(out.fileno(), file.mode)
            if file.user is not None:
                os.fchown(out.fileno(), file.user, -1)
    own(fresh)
    return fresh


def _link(target: Path, names: Iterable[str]) -> None:
    """Make the links that programs open, and remove those of files that are gone; folders of mounts that lie in the
    volume stay."""
    wanted = set(names)
    for name in wanted:
        if not (target / name).is_symlink():
            (target / name).symlink_to(f"{DATA}/{name}")
    for entry in target.iterdir():
        if entry.is_symlink() and entry.name not in wanted and not entry.name.startswith(".."):
            entry.unlink()


def _remove_versions(target: Path, keep: str) -> None:
    for entry in target.iterdir():
        if entry.name.startswith("..") and entry.name not in (DATA, keep):
            entry.unlink() if entry.is_symlink() else shutil.rmtree(entry)
