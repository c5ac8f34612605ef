"""What a layer means, without a file system: the reference that unpacking is compared with, and archives to compare."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_LINKS = 40
KINDS = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "block": tarfile.BLKTYPE,
    "character": tarfile.CHRTYPE,
}


class Refused(Exception):
    """No layer."""


@dataclass(frozen=True)
class Entry:
    """A member of an archive."""

    name: str
    kind: str = "file"
    content: str = ""  # of a file; what a link leads to
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()


@dataclass
class Leaf:
    kind: str
    content: str
    mode: int
    uid: int
    gid: int
    xattrs: dict[str, bytes]


@dataclass
class Folder:
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    children: dict[str, Folder | Leaf] = field(default_factory=dict[str, "Folder | Leaf"])
    hidden: set[str] = field(default_factory=set[str])
    opaque: bool = False


def archive(entries: Sequence[Entry]) -> bytes:
    """Write the members as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.mode, info.uid, info.gid = KINDS[entry.kind], entry.mode, entry.uid, entry.gid
            info.pax_headers = {
                f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape") for key, value in entry.xattrs
            }
            if entry.kind == "file":
                info.size = len(entry.content)
                tar.addfile(info, io.BytesIO(entry.content.encode()))
            else:
                info.linkname = entry.content
                tar.addfile(info)
    return buffer.getvalue()


def apply(entries: Sequence[Entry]) -> dict[str, tuple[object, ...]]:
    """Give the tree that a layer unpacks to, as :func:`described` does for a folder on disk; Refused."""
    root = Folder()
    devices: set[tuple[str, ...]] = set()
    for entry in entries:
        _apply(root, entry, devices)
    return _flat(root, "", {})


def _apply(root: Folder, entry: Entry, devices: set[tuple[str, ...]]) -> None:
    parts = _clean(entry.name)
    if not parts:
        return
    *above, name = parts
    if any(part.startswith(".wh.") for part in above):
        raise Refused("a whiteout on the way")
    if name.startswith(".wh."):
        if name.removeprefix(".wh.") in ("", ".", ".."):
            raise Refused("a whiteout of nothing")
        folder = _make(root, above)
        if name == ".wh..wh..opq":
            folder.opaque = True
        else:
            folder.hidden.add(name.removeprefix(".wh."))
        return
    if entry.kind in ("block", "character"):
        devices.add(tuple(parts))
        return
    if entry.kind == "hardlink" and tuple(_clean(entry.content)) in devices:
        return
    folder = _make(root, above)
    there = folder.children.get(name)
    if entry.kind == "hardlink":
        _link(root, folder, name, entry)
    elif entry.kind == "folder":
        made = there if isinstance(there, Folder) else Folder()
        made.mode, made.uid, made.gid = entry.mode, entry.uid, entry.gid
        made.xattrs |= _kept(entry)
        folder.children[name] = made
    elif entry.kind == "symlink" and not entry.content:
        raise Refused("a link to nothing")
    else:
        mode, xattrs = (0o777, {}) if entry.kind == "symlink" else (entry.mode, _kept(entry))
        folder.children[name] = Leaf(entry.kind, entry.content, mode, entry.uid, entry.gid, xattrs)


def _link(root: Folder, folder: Folder, name: str, entry: Entry) -> None:
    target = _clean(entry.content)
    if not target or target[-1].startswith(".wh."):
        raise Refused("no file")
    holder = _find(root, target[:-1])
    existing = holder.children.get(target[-1])
    if not isinstance(existing, Leaf):
        raise Refused("no file")
    if folder.children.get(name) is existing:
        return
    folder.children.pop(name, None)
    if not _holds(root, holder):
        raise Refused("it went with what it replaces")
    folder.children[name] = existing


def _holds(top: Folder, wanted: Folder) -> bool:
    below = (child for child in top.children.values() if isinstance(child, Folder))
    return top is wanted or any(_holds(child, wanted) for child in below)


def _clean(name: str) -> list[str]:
    found: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not found:
                raise Refused("leads out")
            found.pop()
        elif part not in ("", "."):
            found.append(part)
    return found


def _make(root: Folder, parts: list[str]) -> Folder:
    """The folder at a path, links taken inside of the root, made where it is missing."""
    left, done, links = [*parts], list[str](), 0
    while left:
        part = left.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        there = _at(root, done)
        if isinstance(there, Leaf):
            raise Refused("not a folder")
        child = there.children.get(part) if there else None
        if isinstance(child, Leaf) and child.kind == "symlink":
            links += 1
            if links > MAX_LINKS:
                raise Refused("too many links")
            done = [] if child.content.startswith("/") else done
            left = child.content.split("/") + left
            continue
        done.append(part)
    here = root
    for part in done:
        child = here.children.setdefault(part, Folder())
        if isinstance(child, Leaf):
            raise Refused("not a folder")
        here = child
    return here


def _at(root: Folder, parts: list[str]) -> Folder | Leaf | None:
    here: Folder | Leaf | None = root
    for part in parts:
        if not isinstance(here, Folder):
            return here
        here = here.children.get(part)
    return here


def _find(root: Folder, parts: list[str]) -> Folder:
    """The folder at a path as the kernel finds it for a process that has this root; Refused: there is none."""
    left, way, links = [*parts], [root], 0
    while left:
        part = left.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            way = way[:-1] or [root]
            continue
        child = way[-1].children.get(part)
        if isinstance(child, Folder):
            way.append(child)
        elif child and child.kind == "symlink":
            links += 1
            if links > MAX_LINKS:
                raise Refused("too many links")
            way = [root] if child.content.startswith("/") else way
            left = child.content.split("/") + left
        else:
            raise Refused("no folder")
    return way[-1]


def _kept(entry: Entry) -> dict[str, bytes]:
    return {
        key: value
        for key, value in entry.xattrs
        if key == "security.capability" or (key.startswith("user.") and not key.startswith("user.overlay."))
    }


def _flat(folder: Folder, path: str, seen: dict[int, str]) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for name in sorted({*folder.children, *folder.hidden}):
        child, here = folder.children.get(name), f"{path}/{name}"
        if child is None:
            found[here] = ("whiteout",)
        elif isinstance(child, Folder):
            opaque = child.opaque or name in folder.hidden
            found[here] = ("folder", opaque, child.mode, child.uid, child.gid, sorted(child.xattrs.items()))
            found |= _flat(child, here, seen)
        else:
            first = seen.setdefault(id(child), here)  # names of one file
            attributes = (child.mode, child.uid, child.gid, sorted(child.xattrs.items()))
            found[here] = (child.kind, child.content, first, *attributes)
    if not path:
        found["/"] = ("root", folder.opaque)
    return found
