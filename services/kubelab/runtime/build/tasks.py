"""What the builder does to an image's root: copy files into it, make folders. Runs in a process of its own.

The launcher forks it (``do: task``). It mounts the root in a mount namespace of its own, reads what to do from a file,
and ends with its answer: ``done``, or ``failed`` and whether the machine is to blame (``ours``: a full disk). Nothing
else writes to these roots meanwhile: the process of an earlier RUN has ended with its pid namespace.
"""

from __future__ import annotations

import errno
import json
import os
import select
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from kubelab.runtime.rootfs import mount as rootfs
from kubelab.runtime.rootfs import users
from kubelab.runtime.build import sources
from kubelab.runtime.build.copying import Copier, CopyFault, Owner, make_folders
from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.rootfs.inroot import Root
from kubelab.runtime.launcher.protocol import Request, mount_root, tell

OURS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def perform(reply: int, request: Request) -> None:
    """Do what the file ``task`` of the request says."""
    os.umask(0)
    task = json.loads(Path(request["task"]).read_text())
    try:
        with mount_root(request["rootfs"]) as root:
            with _explained():
                owner = find_owner(task["owner"], root)
                if "folder" in task:
                    make_folders(root, task["folder"], owner)
                else:
                    _copy(root, task, request["sources"], owner, _Abandoned(reply))
    except CopyFault as err:
        tell(reply, failed=str(err), ours=err.ours)
    except OSError as err:
        tell(reply, failed=err.strerror or str(err), ours=True)
    else:
        tell(reply, done=True)


@contextmanager
def _explained() -> Generator[None]:
    try:
        yield
    except (SyntaxFault, users.UnknownUser) as err:
        raise CopyFault(str(err)) from err
    except OSError as err:
        raise CopyFault(explain(err), ours=err.errno in OURS) from err


def explain(err: OSError) -> str:
    """An error in words, with the path that it is about, which is one inside the image or the context."""
    path = err.filename if isinstance(err.filename, str) and not err.filename.startswith("/proc/") else ""
    words = (err.strerror or str(err)).lower()
    return f"{path[:300]}: {words}" if path else words


def find_owner(text: str, root: Root) -> Owner | None:
    """``app``, ``app:staff``, ``1000``, ``1000:50``; a number alone is the group's number too. "" is None."""
    if not text:
        return None
    name, _, group = text.partition(":")
    identity = users.find(f"{name}:{group}" if group else name, root)
    return (identity.uid, identity.uid) if name.isdecimal() and not group else (identity.uid, identity.gid)


class _Abandoned:
    """Says whether the builder has stopped to wait for the answer; then the process ends where it is."""

    def __init__(self, reply: int) -> None:
        self._poll = select.poll()
        self._poll.register(reply, 0)

    def __call__(self) -> None:
        if self._poll.poll(0):
            raise CopyFault("the build was given up")


def _copy(root: Root, task: Mapping[str, Any], origins: list[Any], owner: Owner | None, check: _Abandoned) -> None:
    target = task["target"]
    with ExitStack() as opened:
        roots = [opened.enter_context(_origin(origin)) for origin in origins]
        sources_found = [
            (copy, one)
            for copy in task["copies"]
            for one in (_found(copy) if "name" in copy else sources.find(roots[copy["from"]], copy["pattern"]))
        ]
        if len(sources_found) > 1 and not target.endswith("/") and not root.is_folder(target):
            what = f"When using {task['name']} with more than one source file"
            raise CopyFault(f"{what}, the destination must be a directory and end with a /")
        for copy, one in sources_found:
            copier = Copier(roots[copy["from"]], root, owner, task["mode"], check)
            copier.keep_owner, copier.keep_links = copy["keep_owner"], copy["keep_links"]
            copier.copy(one.path, one.name, target)


def _found(copy: Mapping[str, Any]) -> list[sources.Found]:
    return [sources.Found(copy["path"], copy["name"])]


def _origin(origin: Any) -> Root:
    """A folder of ours, or the root of another image, which is mounted. OSError."""
    return Root.at(origin) if isinstance(origin, str) else rootfs.mount(rootfs.Layout(**origin))
