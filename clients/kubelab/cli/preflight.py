"""Check in a few milliseconds that the machine has all that a cluster needs."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kubelab.cluster.programs import invoked

PACKAGES = {
    "apt-get": {"etcd": "etcd-server", "etcdctl": "etcd-client", "crun": "crun", "nft": "nftables", "ip": "iproute2"},
    "dnf": {"etcd": "etcd", "etcdctl": "etcd", "crun": "crun", "nft": "nftables", "ip": "iproute"},
    "pacman": {"etcd": "etcd", "etcdctl": "etcd", "crun": "crun", "nft": "nftables", "ip": "iproute2"},
    "apk": {"etcd": "etcd", "etcdctl": "etcd-ctl", "crun": "crun", "nft": "nftables", "ip": "iproute2"},
}
INSTALL = {"apt-get": "apt-get install -y", "dnf": "dnf install -y", "pacman": "pacman -S", "apk": "apk add"}
PROGRAMS = ("etcd", "etcdctl", "crun", "nft", "ip")
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # where nft and ip are, which not every user's PATH names


@dataclass(frozen=True, slots=True)
class PreflightProblem:
    """A missing requirement, and its remedy."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}\n   {self.remedy}"


@dataclass(frozen=True)
class HostFacts:
    """The machine as the checks see it; tests give another one."""

    which: Callable[[str], str | None]
    user: int
    capabilities: int
    filesystems: str
    files: Callable[[str], bool]
    descriptors: int  # the hard limit of open files, which processes raise theirs to


CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21
DESCRIPTORS = 1024  # etcd and an api-server have some hundred each when a small cluster is busy


def this_machine(environ: Mapping[str, str] = os.environ) -> HostFacts:
    """Look at the real one."""
    path = f"{environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1]
    return HostFacts(
        which=lambda program: shutil.which(program, path=path),
        user=os.geteuid(),
        capabilities=int(effective, 16),
        filesystems=Path("/proc/filesystems").read_text(),
        files=lambda name: Path(name).exists(),
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    )


def check(machine: HostFacts) -> list[PreflightProblem]:
    """Find everything that would stop a cluster from starting."""
    return [*_programs(machine), *_rights(machine), *_kernel(machine), *_limits(machine)]


def _programs(machine: HostFacts) -> list[PreflightProblem]:
    missing = [program for program in PROGRAMS if not machine.which(program)]
    if not missing:
        return []
    manager = next((manager for manager in PACKAGES if machine.which(manager)), None)
    text = f"these programs are missing: {', '.join(missing)}"
    if manager is None:
        return [PreflightProblem(text, "install them with your distribution's package manager")]
    names = " ".join(dict.fromkeys(PACKAGES[manager][program] for program in missing))
    sudo = "" if machine.user == 0 else "sudo "
    return [PreflightProblem(text, f"type: {sudo}{INSTALL[manager]} {names}")]


def _rights(machine: HostFacts) -> list[PreflightProblem]:
    if machine.user != 0:
        return [
            PreflightProblem(
                "a cluster makes network namespaces and mounts, which needs root",
                f"type the same as root: {_as_root(machine)}",
            )
        ]
    lacking = [
        name
        for name, bit in (("CAP_SYS_ADMIN", CAP_SYS_ADMIN), ("CAP_NET_ADMIN", CAP_NET_ADMIN))
        if not machine.capabilities >> bit & 1
    ]
    if lacking:
        text = f"root may not do enough here: {' and '.join(lacking)} is missing"
        return [PreflightProblem(text, "in a container, start it with --privileged")]
    return []


def _as_root(machine: HostFacts) -> str:
    """Give the command with the program's whole path: sudo looks in a PATH of its own."""
    command = f"{invoked()} up"
    return f"sudo -E {command}" if machine.which("sudo") else f"su root -c {shlex.quote(command)}"


def _kernel(machine: HostFacts) -> list[PreflightProblem]:
    problems: list[PreflightProblem] = []
    if not machine.files("/proc/self/ns/net"):
        problems.append(PreflightProblem("the kernel has no network namespaces", "use a kernel with CONFIG_NET_NS"))
    if "overlay" not in machine.filesystems and not machine.files("/sys/module/overlay"):
        problems.append(PreflightProblem("the kernel has not loaded overlay file systems", "type: modprobe overlay"))
    return problems


def _limits(machine: HostFacts) -> list[PreflightProblem]:
    if machine.descriptors >= DESCRIPTORS:
        return []
    text = f"a process may have only {machine.descriptors} files open at once, and a cluster needs {DESCRIPTORS}"
    raised = f"raise the limit where this shell was started: ulimit -n {4 * DESCRIPTORS}"
    return [PreflightProblem(text, f"{raised} (in a container: --ulimit nofile={4 * DESCRIPTORS})")]
