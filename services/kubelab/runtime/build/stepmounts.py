"""What a RUN step sees besides its root: made ready by the step's monitor, in its mount namespace, before crun starts.

Each part appears below ``at``, a path of our own, and crun mounts it from there into the container. Inside foreign
roots (another stage, the build context) a path is resolved by :mod:`kubelab.runtime.rootfs.inroot` and mounted by descriptor.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubelab.runtime.rootfs import mount as rootfs
from kubelab.linux import syscalls
from kubelab.runtime.rootfs.inroot import Root, by_descriptor

HOST_NAME = "buildkitsandbox"  # BuildKit's own, so that what a step writes about its host is the same
_RESOLVED = Path("/run/systemd/resolve/resolv.conf")  # what systemd-resolved asks, where resolv.conf names itself


def prepare(parts: Sequence[Mapping[str, Any]]) -> None:
    """Make every part ready: ``do`` names a function of this module. OSError."""
    for part in parts:
        {"bind": _bind, "files": _files, "names": _names}[part["do"]](part)


def _bind(part: Mapping[str, Any]) -> None:
    """``source`` inside of ``origin``, a folder or a layout of layers, at ``at``."""
    origin, at = part["origin"], Path(part["at"])
    with Root.at(origin) if isinstance(origin, str) else rootfs.mount(rootfs.Layout(**origin)) as root:
        try:
            opened = root.open(part["source"])
        except FileNotFoundError:
            raise FileNotFoundError(f'"{part["source"]}": not found') from None
        try:
            if stat.S_ISDIR(os.fstat(opened).st_mode):
                at.mkdir()
            elif stat.S_ISREG(os.fstat(opened).st_mode):
                at.touch()
            else:
                raise OSError(f'"{part["source"]}": neither a file nor a folder')
            syscalls.bind(by_descriptor(opened), str(at))
        finally:
            os.close(opened)


def _files(part: Mapping[str, Any]) -> None:
    """Files that are never on a disk: scripts of here-documents, secrets."""
    at = Path(part["at"])
    at.mkdir()
    syscalls.mount("tmpfs", str(at), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=0755")
    for file in part["files"]:
        path = at / file["file"]
        path.write_bytes(base64.b64decode(file["content"]))
        os.chown(path, file["uid"], file["gid"])
        path.chmod(file["mode"])


def _names(part: Mapping[str, Any]) -> None:
    """Copies of the machine's hosts and resolv.conf: names are found as the machine finds them.

    A part with a ``resolver`` has that as its resolv.conf.
    """
    at = Path(part["at"])
    at.mkdir()
    hosts = _text(Path("/etc/hosts")) or "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
    (at / "hosts").write_text(f"{hosts.rstrip()}\n127.0.0.1\t{HOST_NAME}\n")
    resolver = part.get("resolver") or _text(Path("/etc/resolv.conf"))
    if part["apart"] and _is_local(resolver):
        resolver = _text(_RESOLVED) or resolver
    (at / "resolv.conf").write_text(resolver)


def _is_local(resolver: str) -> bool:
    """Whether only this machine itself is asked, which a network namespace of its own does not reach."""
    fields = [line.split() for line in resolver.splitlines()]
    servers = [field[1] for field in fields if len(field) > 1 and field[0] == "nameserver"]
    try:
        return bool(servers) and all(ipaddress.ip_address(server.partition("%")[0]).is_loopback for server in servers)
    except ValueError:
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
