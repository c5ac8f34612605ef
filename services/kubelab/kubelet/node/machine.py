"""What the kubelet tells about the machine it runs on, read from /proc, /etc and the like once at start."""

from __future__ import annotations

import os
import platform
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from kubelab.linux.architecture import architecture


@dataclass(frozen=True, slots=True)
class Machine:
    """Memory and storage are bytes; architecture is Go's word for it."""

    cpus: int
    memory_bytes: int
    storage_bytes: int
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel_version: str
    os_image: str
    architecture: str
    operating_system: str = "linux"
    apparmor: bool = False


def read_machine(state_dir: Path, node_name: str) -> Machine:
    """Ask the kernel and the distribution. Reads files: call it before the event loop has work, or off it.

    Several nodes may share one machine: the machine id is made of the machine's own and the node's name, so that it
    is different for each node and the same after a restart.
    """
    real = _text("/etc/machine-id") or _text("/var/lib/dbus/machine-id") or platform.node()
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, f"{real}/{node_name}")
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(),
        storage_bytes=shutil.disk_usage(_existing(state_dir)).total,
        machine_id=identity.hex,
        system_uuid=str(identity),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        kernel_version=platform.release(),
        os_image=_os_image(),
        architecture=architecture(),
        apparmor=_text("/sys/module/apparmor/parameters/enabled") == "Y",
    )


def _memory_bytes() -> int:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _os_image() -> str:
    for line in (_text("/etc/os-release") or _text("/usr/lib/os-release")).splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.removeprefix("PRETTY_NAME=").strip().strip('"')
    return platform.system()


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:  # not every system has each of these; the callers say what stands in
        return ""


@dataclass(frozen=True, slots=True)
class Pressure:
    """What the machine is short of."""

    memory: bool = False
    disk: bool = False
    pids: bool = False


MEMORY_PRESSURE_BYTES = 100 * 1024 * 1024
# Upstream calls it pressure below a tenth of the disk. Here several nodes share a disk that is not theirs alone, and
# nothing is evicted to make room: a node says so when there is really none.
DISK_PRESSURE_FRACTION = 0.01
PID_PRESSURE_FRACTION = 0.95


def read_pressure(state_dir: Path) -> Pressure:
    """Look at memory, disk and processes now. Reads files: call it off the event loop."""
    disk = shutil.disk_usage(_existing(state_dir))
    pids = _text("/proc/loadavg").split()
    most = _text("/proc/sys/kernel/pid_max")
    threads = int(pids[3].partition("/")[2]) if len(pids) > 3 else 0
    return Pressure(
        memory=_available_bytes() < MEMORY_PRESSURE_BYTES,
        disk=disk.free < disk.total * DISK_PRESSURE_FRACTION,
        pids=most.isdigit() and threads > int(most) * PID_PRESSURE_FRACTION,
    )


def _available_bytes() -> int:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return MEMORY_PRESSURE_BYTES  # a kernel that does not say is not short of it
