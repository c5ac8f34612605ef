"""Capabilities by name, and what of them a machine can give to containers (capabilities(7))."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubelab.cri.runtime.v1 import api_pb2 as cri

# In the order of linux/capability.h, from bit 0.
NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
# containerd's default without CAP_MKNOD: it is safe where a device cgroup decides which nodes can be opened, and there
# is none here. With it, root of a pod could make a node of the machine's disk and read every file on it; a privileged
# container may.
DEFAULT = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip
ALL = "CAP_ALL"


class CapabilityError(ValueError):
    """A container cannot be given what it asks for."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the machine's launcher can give: its own capabilities, for a privileged container, and how low it may set
    an ``oom_score_adj``."""

    capabilities: Sequence[str] = ()
    oom_score_adj: int = -1000


def granted(security: cri.LinuxContainerSecurityContext, bounds: Bounds) -> list[str]:
    """The bounding set of a container: the default ones, with what it adds and without what it drops, in containerd's
    order: ``ALL`` of either list first. Raises CapabilityError for a name that is none, also among those to drop, and
    for one that only a privileged container can be given, or none on this machine."""
    if security.privileged:
        return list(bounds.capabilities)
    add, drop = (
        _named(names) for names in (security.capabilities.add_capabilities, security.capabilities.drop_capabilities)
    )
    for name in add:
        if name == "CAP_MKNOD":
            raise CapabilityError("capability MKNOD: only a privileged container can have it, for no device is guarded")
        if bounds.capabilities and name not in (ALL, *bounds.capabilities):
            raise CapabilityError(f"capability {name.removeprefix('CAP_')}: this machine has it not to give")
    given = [name for name in bounds.capabilities if name != "CAP_MKNOD"] if ALL in add else list(DEFAULT)
    given = [] if ALL in drop else given
    given += [name for name in add if name != ALL and name not in given]
    return [name for name in given if name not in drop]


def _named(names: Iterable[str]) -> list[str]:
    """As in linux/capability.h; Kubernetes leaves the prefix out."""
    capabilities = [f"CAP_{name.upper().removeprefix('CAP_')}" for name in names]
    for original, name in zip(names, capabilities, strict=True):
        if name not in (ALL, *NAMES):
            raise CapabilityError(f'unknown capability "{original}"')
    return capabilities


def held(status: str) -> list[str]:
    """The effective ones of a ``/proc/PID/status``."""
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    bits = int(line.split()[1], 16)
    return [name for bit, name in enumerate(NAMES) if bits & 1 << bit]


def own() -> list[str]:
    """This process's."""
    return held(Path("/proc/self/status").read_text())
