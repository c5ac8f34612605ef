"""What a local cluster leaves on the machine: nothing, once it is taken down."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from kubelab.supervisor import network, processes
from kubelab.supervisor.processes import Running
from kubelab.topology.record import RUN_ROOT, Record


class Namespaces:
    """The network namespaces of a cluster that runs, kept until :meth:`release`.

    The kernel gives the number of a namespace that is gone to the next one at once: without being kept, those of a
    cluster that was taken down would soon be those of a test in another worker.
    """

    def __init__(self, record: Record) -> None:
        self._kept = contextlib.ExitStack()
        self._inodes: set[int] = set()
        for name in (network.CLUSTER, *record.node_names):
            fd = os.open(record.namespace(name), os.O_RDONLY | os.O_CLOEXEC)
            self._kept.callback(os.close, fd)
            self._inodes.add(os.fstat(fd).st_ino)

    def processes(self) -> list[int]:
        """Pids of all that runs in them."""
        return processes.inside(self._inodes)

    def release(self) -> None:
        self._kept.close()


@dataclass(frozen=True)
class Traces:
    """Everything that a cluster could leave on the machine. Made while it runs: then its namespaces are known.

    Processes are found by them, since names on command lines are the processes' own to choose; supervisor and zygote,
    which live outside, by their records.
    """

    record: Record
    namespaces: Namespaces
    guardians: tuple[Running, ...]

    @classmethod
    def of(cls, record: Record) -> Traces:
        namespaces = Namespaces(record)
        assert namespaces.processes(), "a cluster that runs has processes"
        return cls(record, namespaces, (*guardians(record),))

    def left(self) -> list[str]:
        """What there is now, to be asked once; the data of a cluster that is only stopped may stay."""
        record = self.record
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        lines = [line for line in mounts if record.id in line or str(record.folder) in line]
        lines += [f"process {pid}" for pid in self.namespaces.processes()]
        self.namespaces.release()
        lines += [f"process {guardian.pid}" for guardian in self.guardians if guardian.alive()]
        lines += _control_groups(record.id)
        return lines + [str(path) for path in (RUN_ROOT / record.id, record.folder) if path.exists()]


def _control_groups(text: str) -> list[str]:
    """The control groups with this text in their names. Those of other tests come and go meanwhile, which ``os.walk``
    passes over."""
    return [f"{folder}/{name}" for folder, names, _ in os.walk("/sys/fs/cgroup") for name in names if text in name]


def guardians(record: Record) -> list[Running]:
    records = [processes.read(record.processes, name) for name in (processes.ZYGOTE, processes.SUPERVISOR)]
    return [running for running in records if running]
