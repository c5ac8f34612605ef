"""What a node's network namespace has to be told before it carries traffic of pods."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from kubelab.component.config import ConfigError
from kubelab.linux import syscalls

IPV4 = Path("/proc/sys/net/ipv4")
# Forward; do not drop what comes back another way; do not tell pods of shorter ways that they do not have.
WANTED = {
    "ip_forward": "1",
    "conf/all/rp_filter": "0",
    "conf/default/rp_filter": "0",
    "conf/all/send_redirects": "0",
    "conf/default/send_redirects": "0",
}

NAMESPACED = ("net.", "kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")  # by network or ipc namespace


class NotWritable(ConfigError):
    """A setting is not as wanted and cannot be changed; the message says which, and what to do."""


def write() -> None:
    """Set what is not set yet. Raises NotWritable."""
    for key, value in WANTED.items():
        path = IPV4 / key
        if path.read_text().strip() == value:
            continue
        try:
            path.write_text(value)
        except OSError as err:
            name = f"net.ipv4.{key.replace('/', '.')}"
            raise NotWritable(
                f"cannot set {name}={value}: {os.strerror(err.errno or 0)}; a container needs it to be a node's "
                f"machine (python -m kubelab.nodeagent), or in a compose file the lines sysctls: {{{name}: {value}}}"
            ) from err


def refusal(values: Mapping[str, str], *, host_network: bool) -> str:
    """Say what of this is the whole node's, or no setting at all; nothing where each is a namespace's own."""
    allowed = NAMESPACED[1:] if host_network else NAMESPACED
    for name, value in sorted(values.items()):
        if not name.startswith(allowed) or ".." in name or "/" in name or "\0" in name:
            return f"sysctl {name!r} is not in a separate kernel namespace"
        if "\0" in value:
            return f"sysctl {name}: {value!r}: expected text without zero bytes"
    return ""


def write_own(values: Mapping[str, str], *, host_network: bool) -> None:
    """Set what a pod asks for in the calling process's namespaces, which are the pod's by now. OSError.

    Which of them a pod may ask for, the kubelet knows; that none is the whole node's is made sure of here.
    """
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.make_mounts_private()
    with contextlib.suppress(PermissionError):  # without root on the machine
        syscalls.mount("proc", "/proc", "proc")  # the one that is there may be read-only
    if reason := refusal(values, host_network=host_network):
        raise OSError(reason)
    for name, value in values.items():
        try:
            Path("/proc/sys", *name.split(".")).write_text(value)
        except OSError as err:
            raise OSError(f"sysctl {name}={value}: {err.strerror}") from err
