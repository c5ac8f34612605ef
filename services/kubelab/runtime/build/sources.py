"""What COPY and ADD find in a build context, or in another image's files."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from posixpath import basename, normpath

from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.build.patterns import Glob, has_wildcards
from kubelab.runtime.rootfs.inroot import Root

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A file or folder: where it lies, without links on the way, and the name by which it was asked for."""

    path: str
    name: str


def find(root: Root, text: str) -> list[Found]:
    """What a source of COPY names: a file, a folder, or all that match a pattern, sorted. Links are followed inside.

    A pattern that nothing matches names nothing; SyntaxFault for another that is not there, and for a broken pattern.
    """
    path = normpath("/" + text).lstrip("/")
    if has_wildcards(path):
        parts = path.split("/")
        first = next(n for n, part in enumerate(parts) if has_wildcards(part))
        above = root.resolve("/".join(parts[:first]))
        globs = [Glob(part) for part in parts[first:]]
        paths = _matching(root, above, globs) if root.is_folder(above) else []
        sources = [Found(root.resolve(match), basename(match)) for match in paths]
    else:
        sources = [Found(root.resolve(path), basename(path))]
    for one in sources:
        if not root.exists(one.path):
            raise SyntaxFault(f'"/{path}": not found')
    return sources


def _matching(root: Root, folder: str, globs: list[Glob]) -> list[str]:
    """The paths below a folder whose names match, level by level. No link is gone through."""
    levels = [folder]
    for depth, glob in enumerate(globs):
        matched = [f"{above.rstrip('/')}/{name}" for above in levels for name in root.list(above) if glob.matches(name)]
        last = depth == len(globs) - 1
        levels = matched if last else [path for path in matched if stat.S_ISDIR(root.lstat(path).st_mode)]
    return levels


def digest(root: Root, sources: Iterable[Found]) -> str:
    """What is the same for equal names, contents, links and modes, and differs for others."""
    whole = hashlib.sha256()
    for one in sources:
        whole.update(f"{one.name}\0".encode(errors="surrogateescape"))
        waiting = [one.path]
        while waiting:
            path = waiting.pop()
            status = root.lstat(path)
            inside = path.removeprefix(one.path)
            whole.update(f"{inside}\0{status.st_mode}\0".encode(errors="surrogateescape"))
            if stat.S_ISDIR(status.st_mode):
                waiting += [f"{path.rstrip('/')}/{name}" for name in reversed(root.list(path))]
            elif stat.S_ISLNK(status.st_mode):
                whole.update(os.fsencode(root.readlink(path)))
            elif stat.S_ISREG(status.st_mode):
                whole.update(f"{status.st_size}\0".encode())
                with root.open_file(path, follow=False) as file:
                    while block := file.read(_BLOCK):
                        whole.update(block)
    return whole.hexdigest()
