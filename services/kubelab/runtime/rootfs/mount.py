"""A container's root: the image's layers, over the host's folders where the builder based it on them.

The root is an overlay of all layers. With the host as base, each of its system folders is an overlay of its own at its
place in the root, because overlay does not look through mounts, and because nothing else of the host may be seen.

Layers are foreign: whatever one has in place of a folder, no path leads through it. The kernel gets descriptors alone
(mount(2) by ``/proc/self/fd``), those of a layer's folder and of the place in the root opened without any link. Where a
layer replaces ``/opt`` (by a link, a file, a whiteout, an opaque folder), the root's own overlay shows what comes of
that, and the host's ``/opt`` is not mounted.

The host's folders are seen as an unprivileged user sees them, whatever capabilities a container has: below the
container's overlay lies a read-only one that was mounted by such a user, for overlay opens the files underneath with
the rights of whoever mounted it (https://docs.kernel.org/filesystems/overlayfs.html, "Permission model"). A key of
root's under ``/usr/local`` or ``/opt`` stays unread, also one that is put there later.

The description is made by the runtime, the mounts by the process that runs a container, in a mount namespace of its
own. Needs Linux 5.6 (openat2).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kubelab.linux import syscalls
from kubelab.runtime.host.base import Host
from kubelab.runtime.rootfs import userns
from kubelab.runtime.rootfs.inroot import Root, by_descriptor

OPAQUE_XATTR = "trusted.overlay.opaque"
MAX_LAYERS = 499  # overlay stacks 500 (OVL_MAX_STACK), one of which is the host or an empty folder
NOBODY = 65534
_PLACE = os.O_PATH | os.O_DIRECTORY


class RootError(OSError):
    """The root cannot be mounted; the message says of what and why."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a root is made of.

    ``root`` is the empty folder where it is mounted, ``layers`` are the layers' folders, lowest first, ``writable`` a
    folder for what is written. ``skeleton`` and ``folders`` are those of a :class:`kubelab.runtime.host.base.Host`, ""
    and none where it is not the base; ``guarded``: the folders are seen as an unprivileged user sees them. ``users``
    are those of a pod that has its own (:class:`kubelab.runtime.rootfs.userns.Users`).
    """

    root: str
    layers: tuple[str, ...]
    writable: str
    skeleton: str = ""
    folders: tuple[str, ...] = ()
    guarded: bool = True
    users: Mapping[str, Any] | None = None

    def as_request(self) -> dict[str, Any]:
        """As a launcher's request carries it; ``Layout(**request)`` reads it."""
        return asdict(self)


def layout(
    root: Path, layers: Sequence[Path], host: Host | None, writable: Path, users: Mapping[str, Any] | None = None
) -> Layout:
    """Describe a root over ``layers`` (lowest first), with the host's folders where one is given. RootError."""
    distinct = _distinct([str(layer) for layer in layers])
    if len(distinct) > MAX_LAYERS:
        raise RootError(f"the image has {len(distinct)} layers, and {MAX_LAYERS} are possible")
    if host is None:
        return Layout(str(root), distinct, str(writable), users=users)
    return Layout(str(root), distinct, str(writable), str(host.skeleton), host.folders, host.guarded, users)


def _distinct(layers: Sequence[str]) -> tuple[str, ...]:
    """Of a layer that is there more than once the highest: it hides all that the lower ones show or hide."""
    return tuple(reversed(dict.fromkeys(reversed(layers))))


def mount(plan: Layout) -> Root:
    """Mount a root in this process's mount namespace, which has to be its own; gives the root. OSError."""
    with contextlib.ExitStack() as opened:
        layers = [opened.enter_context(Root.at(layer)) for layer in reversed(plan.layers)]
        writable = opened.enter_context(Root.at(plan.writable))
        place = opened.enter_context(Root.at(plan.root))
        bottom = opened.enter_context(Root.at(plan.skeleton) if plan.skeleton else Root(writable.made_folder("empty")))
        users = userns.Users.of_request(plan.users)
        if users:
            mapped = (userns.idmapped(one.fd, users, f"layer-{n}") for n, one in enumerate([*layers, bottom]))
            *layers, bottom = (opened.enter_context(Root(fd)) for fd in mapped)
        _mount_part("root", place.fd, [*(layer.fd for layer in layers), bottom.fd], writable, users)
        root = Root.at(plan.root)
        if os.path.samestat(os.fstat(root.fd), os.fstat(place.fd)):
            raise RootError(f"{plan.root} is not what was mounted there")
        for folder in plan.folders:
            _mount_folder(root, folder.strip("/"), layers, writable, plan)
        return root


def _mount_folder(root: Root, name: str, layers: Sequence[Root], writable: Root, plan: Layout) -> None:
    """Mount one of the host's folders in the root, below what the layers have of it."""
    with contextlib.ExitStack() as opened:
        lower: list[int] = []
        for layer in layers:
            try:
                fd = layer.open(name, follow=False, links=False)
            except FileNotFoundError:
                continue
            opened.callback(os.close, fd)
            if _replaces(fd):
                return
            lower.append(fd)
        host = os.open(f"/{name}", _PLACE | os.O_NOFOLLOW | os.O_CLOEXEC)
        opened.callback(os.close, host)
        users = userns.Users.of_request(plan.users)
        if users:
            host = userns.idmapped(host, users, f"host-{name}")
            opened.callback(os.close, host)
        if plan.guarded:
            host = guarded(host, writable, name)
            opened.callback(os.close, host)
        place = root.open(name, _PLACE, links=False)
        opened.callback(os.close, place)
        _mount_part(name, place, [*lower, host], writable, users)


def _replaces(fd: int) -> bool:
    """Whether what a layer has of a folder hides the same folder of everything below."""
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        return True
    try:
        return os.getxattr(by_descriptor(fd), OPAQUE_XATTR) == b"y"
    except OSError:
        return False


def guarded(folder: int, writable: Root, name: str) -> int:
    """Mount a folder of the host read-only, as an unprivileged user sees it; gives the descriptor of that. OSError."""
    empty, place = writable.made_folder("empty"), writable.made_folder(f"host/{name}")
    try:
        as_nobody = syscalls.file_access_of(NOBODY)
        _mount_overlay(f"the host's /{name}", place, [folder, empty], flags=syscalls.MS_RDONLY, mounter=as_nobody)
        return writable.open(f"host/{name}", _PLACE, links=False)
    finally:
        os.close(place)
        os.close(empty)


def _mount_part(name: str, place: int, lower: Sequence[int], writable: Root, users: userns.Users | None = None) -> None:
    upper, work = writable.made_folder(f"upper/{name}"), writable.made_folder(f"work/{name}")
    try:
        os.fchmod(upper, 0o755)
        if users:
            os.fchown(upper, users.base, users.base)
        _mount_overlay(name, place, lower, f",upperdir={upper},workdir={work}")
    finally:
        os.close(upper)
        os.close(work)


def _mount_overlay(
    name: str,
    place: int,
    lower: Sequence[int],
    more: str = "",
    flags: int = 0,
    mounter: contextlib.AbstractContextManager[None] | None = None,
) -> None:
    """mount(2) reads one page of options, too little for the paths of many layers: descriptors stand for them, by the
    short names that they have in /proc/self/fd."""
    here = os.open(".", _PLACE | os.O_CLOEXEC)
    try:
        os.chdir("/proc/self/fd")
        options = f"lowerdir={':'.join(map(str, lower))}{more}"
        with mounter or contextlib.nullcontext():
            syscalls.mount("overlay", by_descriptor(place), "overlay", flags, options)
    except OSError as err:
        raise RootError(err.errno, f"failed to mount {name}: {os.strerror(err.errno or 0)}") from err
    finally:
        os.fchdir(here)
        os.close(here)


def written(writable: Path) -> Path:
    """Join what was written into one folder, a layer: the upper folders of the parts go where they belong."""
    with Root.at(writable) as root:
        for name in root.list("upper"):
            if name == "root" or not root.list(f"upper/{name}"):
                continue
            with root.parent(f"upper/root/{name}") as (folder, _):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(name, dir_fd=folder)  # an empty mount point
                with root.parent(f"upper/{name}") as (parts, _):
                    os.rename(name, name, src_dir_fd=parts, dst_dir_fd=folder)
    return writable / "upper" / "root"
