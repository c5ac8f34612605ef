"""What a group of processes may use, and the files of a control group that say so. Pure.

Version 1: https://docs.kernel.org/admin-guide/cgroup-v1/, version 2: https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from kubelab.cri.runtime.v1 import api_pb2 as cri

Limits = Mapping[str, int]
"""``cpu_shares`` (1024 is one core's), ``cpu_quota`` in ``cpu_period`` (microseconds), ``memory`` (bytes), ``pids``; 0,
or not there: without a limit. As it travels to the launcher."""

CONTROLLERS = ("cpu", "memory", "pids")
MAX_QUOTA = (1 << 44) - 1  # microseconds; the kernel refuses more, and no machine has as much
MAX_PIDS = (1 << 22) - 1  # nor has any more processes
PIDS_MAX = "pids.max"  # in the CRI's `unified`, which names files of version 2


class LimitError(ValueError):
    """A limit that is none."""


def of(resources: cri.LinuxContainerResources) -> dict[str, int]:
    """The CRI's limits of a container, or of a pod. Raises LimitError."""
    values = {
        "cpu_shares": resources.cpu_shares,
        "cpu_quota": min(resources.cpu_quota, MAX_QUOTA),
        "cpu_period": resources.cpu_period or 100_000,
        "memory": resources.memory_limit_in_bytes,
    }
    for name, value in resources.unified.items():
        if name != PIDS_MAX:
            raise LimitError(f"unified: {name} is not supported; only {PIDS_MAX} is")
        if value != "max":
            values["pids"] = min(_whole(name, value), MAX_PIDS)
    return values


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text)):
        raise LimitError(f"unified: {name}: {text!r} is no number of processes")
    return int(text)


def files(version: int, controllers: Collection[str], limits: Limits) -> list[tuple[str, str]]:
    """The files of one group, in the order in which they are written."""
    write = _version_1 if version == 1 else _version_2
    return [(name, str(value)) for controller in controllers for name, value in write(controller, limits)]


def optional(name: str) -> bool:
    """Whether a kernel may do without a file: where it accounts for no swap, or does not kill by groups yet."""
    return name in ("memory.memsw.limit_in_bytes", "memory.swap.max", "memory.oom.group")


def _version_1(controller: str, limits: Limits) -> list[tuple[str, Any]]:
    settings: list[tuple[str, Any]] = []
    if controller == "cpu" and limits.get("cpu_shares"):
        settings.append(("cpu.shares", limits["cpu_shares"]))
    if controller == "cpu" and limits.get("cpu_quota"):
        settings += [("cpu.cfs_period_us", limits["cpu_period"]), ("cpu.cfs_quota_us", limits["cpu_quota"])]
    if controller == "memory" and limits.get("memory"):  # memory and swap together: so none is swapped
        settings += [(f"memory.{name}limit_in_bytes", limits["memory"]) for name in ("", "memsw.")]
    if controller == "pids" and limits.get("pids"):
        settings.append(("pids.max", limits["pids"]))
    return settings


def _version_2(controller: str, limits: Limits) -> list[tuple[str, Any]]:
    settings: list[tuple[str, Any]] = []
    if controller == "cpu" and limits.get("cpu_shares"):
        settings.append(("cpu.weight", weight(limits["cpu_shares"])))
    if controller == "cpu" and limits.get("cpu_quota"):
        settings.append(("cpu.max", f"{limits['cpu_quota']} {limits['cpu_period']}"))
    if controller == "memory" and limits.get("memory"):  # one process less is not a container: all of it is killed
        settings += [("memory.max", limits["memory"]), ("memory.swap.max", 0), ("memory.oom.group", 1)]
    if controller == "pids" and limits.get("pids"):
        settings.append(("pids.max", limits["pids"]))
    return settings


def weight(shares: int) -> int:
    """Version 2's 1 to 10,000 for version 1's 2 to 262,144, as runc has it."""
    return 1 + (min(max(shares, 2), 262_144) - 2) * 9999 // 262_142
