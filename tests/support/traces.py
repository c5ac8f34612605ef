"""What a local cluster leaves on the machine: nothing, once it is taken down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kubelab.supervisor import network, processes
from kubelab.supervisor.processes import Running
from kubelab.topology.record import RUN_ROOT, Record


@dataclass(frozen=True)
class Traces:
    """Everything that a cluster could leave on the machine. Made while it runs: then its namespaces are known.

    Processes are found by them, since names on command lines are the processes' own to choose; supervisor and zygote,
    which live outside, by their records.
    """

    record: Record
    namespaces: frozenset[int]
    guardians: tuple[Running, ...]

    @classmethod
    def of(cls, record: Record) -> Traces:
        namespaces = frozenset(network.inodes(record))
        assert processes.inside({*namespaces}), "a cluster that runs has processes"
        return cls(record, namespaces, (*guardians(record),))

    def left(self) -> list[str]:
        """What there is now; the data of a cluster that is only stopped may stay."""
        record = self.record
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        lines = [line for line in mounts if record.id in line or str(record.folder) in line]
        lines += [f"process {pid}" for pid in processes.inside({*self.namespaces})]
        lines += [f"process {guardian.pid}" for guardian in self.guardians if guardian.alive()]
        lines += [str(path) for path in Path("/sys/fs/cgroup").rglob(f"*{record.id}*")]
        return lines + [str(path) for path in (RUN_ROOT / record.id, record.folder) if path.exists()]


def guardians(record: Record) -> list[Running]:
    records = [processes.read(record.processes, name) for name in (processes.ZYGOTE, processes.SUPERVISOR)]
    return [running for running in records if running]
