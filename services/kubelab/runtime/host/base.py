"""The base image ``host``: this machine's own system folders, read through and never written to.

``/usr`` and ``/opt`` (and ``/bin``, ``/sbin``, ``/lib…`` where they are folders of their own) are lower layers of
overlays; a small ``/etc`` is made here, and homes, ``/tmp``, ``/var`` and all else begin empty. So nothing needs to be
downloaded, and no user's file and no key of the cluster is seen in a pod.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kubelab.runtime.cgroups.machine import Offer
from kubelab.runtime.host.capabilities import Bounds

_SYSTEM = ("usr", "opt", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_EMPTY = ("dev", "etc", "home", "media", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "var", "var/tmp", "var/log")
_COPIED = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "mime.types", "services", "protocols",
           "debian_version", "localtime", "timezone", "ssl/certs/ca-certificates.crt", "ssl/openssl.cnf")  # fmt: skip
_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\n"
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"


@dataclass(frozen=True, slots=True)
class Host:
    """The machine that pods run on, as a base image.

    ``skeleton`` is the layer below all others, ``folders`` are read through, ``hidden`` are within them and not seen;
    ``guarded``: containers see no more of them than an unprivileged user of the machine. ``crun`` is the program's
    path, ``bounds`` what the machine's launcher may give to a container, ``cgroups`` what can hold it within limits.
    """

    skeleton: Path
    folders: tuple[str, ...]
    hidden: tuple[str, ...]
    guarded: bool
    crun: str
    bounds: Bounds
    cgroups: Offer = field(default_factory=Offer)
    no_userns: str = ""  # why pods cannot have users of their own


def system_folders() -> tuple[str, ...]:
    """The host's folders that containers read through: ``/usr``, ``/opt`` …; links among them are not folders."""
    return tuple(f"/{name}" for name in _SYSTEM if (Path("/") / name).is_dir() and not (Path("/") / name).is_symlink())


def hidden(private: Iterable[Path]) -> list[str]:
    """Folders among ``private`` (and this user's home and kubelab's) that would be seen through a system folder.

    A home such as ``/opt/me``, and the cluster's keys in it, are not shown to a pod either.
    """
    homes = [Path.home(), Path(os.environ.get("KUBELAB_HOME") or Path.home() / ".kubelab")]
    real_paths = {os.path.realpath(path) for path in (*homes, *private)}
    return sorted(path for path in real_paths if path.startswith(tuple(f"{folder}/" for folder in system_folders())))


def unreadable(folders: Iterable[str]) -> list[str]:
    """What an unprivileged user of the machine may not read below these folders: files, and folders as a whole.

    It takes a second for 100,000 files, and is out of date when one is added.
    """
    paths: list[str] = []
    waiting = list(folders)
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    continue
                folder = entry.is_dir(follow_symlinks=False)
                open_to_all = stat.S_IROTH | (stat.S_IXOTH if folder else 0)
                if entry.stat(follow_symlinks=False).st_mode & open_to_all != open_to_all:
                    paths.append(entry.path)
                elif folder:
                    waiting.append(entry.path)
    return sorted(paths)


def make_skeleton(parent: Path) -> Path:
    """Make the layer below all others and give its folder, which is named after its content.

    A folder that is there already is used again: containers may be running on it.
    """
    part = parent / f"host.{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name in _EMPTY:
        (part / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (part / name).chmod(0o1777)
    (part / "root").chmod(0o700)
    for name in _SYSTEM:
        original = Path("/") / name
        if original.is_symlink():
            (part / name).symlink_to(original.readlink())
        elif original.is_dir():
            (part / name).mkdir()
    _fill_etc(part / "etc")
    target = parent / f"host-{_digest(part)}"
    try:
        part.rename(target)
    except OSError:
        shutil.rmtree(part)
    return target


def _fill_etc(etc: Path) -> None:
    (etc / "passwd").write_text(_PASSWD)
    (etc / "group").write_text(_GROUP)
    (etc / "nsswitch.conf").write_text(_NSSWITCH)
    for name in ("hosts", "hostname", "resolv.conf"):
        (etc / name).touch()  # each pod's own is mounted over it
    (etc / "os-release").symlink_to("../usr/lib/os-release")
    (etc / "mtab").symlink_to("/proc/mounts")
    for name in _COPIED:
        original, copy = Path("/etc") / name, etc / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if original.is_symlink():
            copy.symlink_to(original.readlink())
        elif original.is_dir():
            shutil.copytree(original, copy, symlinks=True)
        elif original.is_file():
            shutil.copy2(original, copy)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for base, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted((*folders, *files)):
            path = Path(base) / name
            digest.update(str(path.relative_to(folder)).encode())
            if path.is_symlink():
                digest.update(str(path.readlink()).encode())
            elif path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
