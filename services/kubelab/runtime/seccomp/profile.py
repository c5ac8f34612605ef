"""The ``linux.seccomp`` section of a container
(https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp)."""

from __future__ import annotations

import errno
import json
import platform
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.seccomp.calls import ALLOWED, BY_CAPABILITY, BY_MACHINE, NEVER

Section = dict[str, Any]
ALLOW, REFUSE = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "riscv64": ["SCMP_ARCH_RISCV64"],
}
NAMESPACE_FLAGS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (clone(2))."""
AF_VSOCK = 40  # leads past every network namespace to the hypervisor
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, PER_LINUX32, with UNAME26; and to ask
MAX_PROFILE_BYTES = 1 << 20


class ProfileError(ValueError):
    """A profile that is not there, or is none."""


def section(security: cri.LinuxContainerSecurityContext, capabilities: Iterable[str]) -> Section | None:
    """What a container asks for: the runtime's own profile where it does not say, None for Unconfined and for a
    privileged one, as containerd has it. ``capabilities`` is its bounding set. Raises ProfileError."""
    profile = security.seccomp
    if security.privileged or profile.profile_type == cri.SecurityProfile.Unconfined:
        return None
    if profile.profile_type == cri.SecurityProfile.Localhost:
        return read(Path(profile.localhost_ref))
    return default(frozenset(capabilities))


@lru_cache(maxsize=64)
def default(held: frozenset[str], machine: str = "") -> Section:
    """The runtime's own profile, for a bounding set of capabilities; not to be changed.

    What is known and not allowed ends in EPERM. A call that is newer than these tables ends in ENOSYS, as on an older
    kernel: so programs use the older call, which they do not where they are refused.
    """
    machine = machine or platform.machine()
    opened = {call for name, calls in BY_CAPABILITY.items() if name in held for call in calls}
    allowed = ALLOWED | BY_MACHINE.get(machine, frozenset()) | opened
    listed = NEVER.union(*BY_CAPABILITY.values())
    rules = [_rule(allowed), _rule(listed - allowed - {"clone", "clone3"}, REFUSE, errnoRet=errno.EPERM)]
    rules += [_rule(("personality",), args=[_compare(0, value)]) for value in PERSONALITIES]
    rules.append(_rule(("socket",), args=[_compare(0, AF_VSOCK, "SCMP_CMP_NE")]))
    rules.append(_rule(("socket",), REFUSE, errnoRet=errno.EPERM, args=[_compare(0, AF_VSOCK)]))
    if "clone" not in allowed:
        rules.append(_rule(("clone",), args=[_masked(0, sum(NAMESPACE_FLAGS), 0)]))
        for flag in NAMESPACE_FLAGS:
            rules.append(_rule(("clone",), REFUSE, errnoRet=errno.EPERM, args=[_masked(0, flag, flag)]))
        # its flags are in memory, where no filter can look: glibc falls back to clone
        rules.append(_rule(("clone3",), REFUSE, errnoRet=errno.ENOSYS))
    return {
        "defaultAction": REFUSE,
        "defaultErrnoRet": errno.ENOSYS,
        "architectures": ARCHITECTURES.get(machine, []),
        "syscalls": rules,
    }


def _rule(names: Iterable[str], action: str = ALLOW, **more: object) -> dict[str, Any]:
    return {"names": sorted(names), "action": action, **more}


def _compare(index: int, value: int, how: str = "SCMP_CMP_EQ") -> dict[str, object]:
    return {"index": index, "value": value, "op": how}


def _masked(index: int, mask: int, equal: int) -> dict[str, object]:
    return {"index": index, "value": mask, "valueTwo": equal, "op": "SCMP_CMP_MASKED_EQ"}


def read(path: Path) -> Section:
    """A profile of the machine's own, in the OCI format. Raises ProfileError."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PROFILE_BYTES + 1)
    except OSError as err:
        raise ProfileError(f'cannot load seccomp profile "{path}": {err.strerror}') from err
    if len(text) > MAX_PROFILE_BYTES:
        raise ProfileError(f'cannot load seccomp profile "{path}": it has more than {MAX_PROFILE_BYTES} bytes')
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise ProfileError(f'decoding seccomp profile failed "{path}": {err}') from err
    if not isinstance(document, dict) or not isinstance(cast(Section, document).get("defaultAction"), str):
        raise ProfileError(f'decoding seccomp profile failed "{path}": it is no object with a defaultAction')
    return cast(Section, document)
