"""Memory and CPU of containers: from ``/proc`` where their processes are this machine's, else from ``docker stats``.

``/proc`` is exact and quick: memory is PSS, so that what components share is counted once. It takes root, and a daemon
on this machine. Pods have roots of their own: they do not count as their node's.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kubelab.cluster.containers import ComposeContainer
from kubelab.cluster.docker import Docker

PROC = Path("/proc")
STATS_SECONDS = 20.0
_UNITS = {"": 1, "k": 1000, "Ki": 1024, "M": 1000**2, "Mi": 1024**2, "G": 1000**3, "Gi": 1024**3}
_SIZE = re.compile(r"([\d.]+)\s*([kMG]i?)?B")


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """Bytes of memory, and seconds of CPU since the start (0 where unknown)."""

    memory_bytes: int = 0
    cpu_seconds: float = 0.0

    def __add__(self, other: ContainerUsage) -> ContainerUsage:
        return ContainerUsage(self.memory_bytes + other.memory_bytes, self.cpu_seconds + other.cpu_seconds)


async def usage(docker: Docker, containers: Iterable[ComposeContainer]) -> dict[str, ContainerUsage]:
    """Give what each running container uses, by its id."""
    running = [container for container in containers if container.runs and container.pid]
    if not running:
        return {}
    from_host = await asyncio.to_thread(from_proc, running)
    return from_host if from_host is not None else await _from_stats(docker, running)


def from_proc(containers: Iterable[ComposeContainer], proc: Path = PROC) -> dict[str, ContainerUsage] | None:
    """Add up the processes of each container; None when this machine does not show them to us."""
    usages: dict[str, ContainerUsage] = {}
    by_root: dict[tuple[str, str], str] = {}
    try:
        for container in containers:
            if container.id not in (proc / str(container.pid) / "cgroup").read_text():
                return None
            by_root[container.id, (proc / str(container.pid) / "ns/mnt").readlink().name] = container.id
            usages[container.id] = ContainerUsage()
    except OSError:
        return None
    for folder in proc.iterdir():
        if folder.name.isdigit() and (process_usage := _of_process(folder, by_root)):
            id, used = process_usage
            usages[id] += used
    return usages


def _of_process(folder: Path, by_root: Mapping[tuple[str, str], str]) -> tuple[str, ContainerUsage] | None:
    """A process of a container, with the container's own root: its container and what it uses."""
    try:
        ids = set(re.findall(r"[0-9a-f]{64}", (folder / "cgroup").read_text()))
        root = (folder / "ns/mnt").readlink().name
        id = next((by_root[id, root] for id in ids if (id, root) in by_root), None)
        if id is None:
            return None
        return id, ContainerUsage(_pss(folder), _cpu_seconds(folder))
    except OSError:  # it has ended meanwhile
        return None


def _pss(folder: Path) -> int:
    lines = (folder / "smaps_rollup").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _cpu_seconds(folder: Path) -> float:
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _from_stats(docker: Docker, containers: Iterable[ComposeContainer]) -> dict[str, ContainerUsage]:
    ids = [container.id for container in containers]
    printed = await docker.call(
        "stats", "--no-stream", "--no-trunc", "--format", "{{json .}}", *ids, timeout=STATS_SECONDS
    )
    rows = [json.loads(line) for line in printed.decode().splitlines() if line.strip()]
    return {str(row["ID"]): ContainerUsage(size_of(str(row["MemUsage"]))) for row in rows}


def size_of(text: str) -> int:
    """``12.5MiB / 23.5GiB`` → what stands before the line, in bytes; 0 for what cannot be read."""
    match = _SIZE.match(text.strip())
    return int(float(match[1]) * _UNITS[match[2] or ""]) if match else 0
