"""The record file of every process of a cluster: its pid and start time.

The process itself writes it before it does anything else, so that no running process is unknown at any moment, even if
the process that started it is killed. A pid alone proves nothing (pids are reused); pid, start time and boot id do.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelab.files import statefile
from kubelab.linux.processes import boot_id, start_time

SUPERVISOR, ZYGOTE = "supervisor", "zygote"


@dataclass(frozen=True, slots=True)
class Running:
    """One process: ``ticks`` is its start in the kernel's own measure, ``since`` in nanoseconds since the epoch."""

    name: str
    pid: int
    ticks: int
    since: int
    restarts: int = 0

    def alive(self) -> bool:
        """Say whether this process (pid and start time) still runs. A zombie does not."""
        return start_time(self.pid) == self.ticks

    def open(self) -> int | None:
        """Open a pidfd, which can be waited for and never means another process; None when it is gone."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if self.alive():  # looked at after the descriptor was had: it is the right one
            return fd
        os.close(fd)
        return None

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; False when the process is gone."""
        fd = self.open()
        if fd is None:
            return False
        try:
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True


def write_own(folder: Path, name: str, *, since: int, restarts: int = 0) -> Running:
    """Record the calling process under ``name``."""
    pid = os.getpid()
    ticks = start_time(pid) or 0
    body = {"pid": pid, "ticks": ticks, "since": since, "restarts": restarts, "boot": boot_id()}
    statefile.write(folder / name, json.dumps(body))
    return Running(name, pid, ticks, since, restarts)


def read(folder: Path, name: str) -> Running | None:
    """Give a process that runs now; None when there is no record, or its process is gone."""
    running = _recorded(folder, name)
    return running if running and running.alive() else None


def restarts_of(folder: Path, name: str) -> int:
    """Give how often a process had been started again when it last left its record, dead or alive."""
    body = _body(folder, name)
    return int(body["restarts"]) if body else 0


def read_all(folder: Path) -> dict[str, Running]:
    """Give every process that runs now, by name."""
    if not folder.is_dir():
        return {}
    records = (read(folder, path.name) for path in folder.iterdir() if not path.name.startswith("."))
    return {running.name: running for running in records if running}


def forget(folder: Path, running: Running) -> None:
    """Remove a process's record; that of another one of its name, which has begun since, stays."""
    if _recorded(folder, running.name) == running:
        (folder / running.name).unlink(missing_ok=True)


def _recorded(folder: Path, name: str) -> Running | None:
    """Give the process of a record of this boot, dead or alive."""
    body = _body(folder, name)
    if body is None or body["boot"] != boot_id():
        return None
    return Running(name, body["pid"], body["ticks"], body["since"], body["restarts"])


_RECORD = statefile.json_with(pid=int, ticks=int, since=int, restarts=int, boot=str)


def _body(folder: Path, name: str) -> dict[str, Any] | None:
    """A record's content, None where nothing of use is there: its process, if there is one, leaves another."""
    try:
        return statefile.read(folder / name, _RECORD, remedy="")
    except statefile.BrokenFile:
        return None


def inside(namespaces: set[int]) -> list[int]:
    """Find every pid whose network namespace (by inode) is one of these."""
    pids: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                inode = (entry / "ns/net").stat().st_ino
            except OSError:
                continue  # it ended meanwhile
            if inode in namespaces:
                pids.append(int(entry.name))
    return pids


def is_frozen(pid: int) -> bool:
    """Was the process stopped by a signal?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return False


def group(leader: int) -> list[int]:
    """Give the members of a process group that its leader has begotten, itself included."""
    pids = [leader]
    for pid in descendants(leader):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) == leader:
                pids.append(pid)
    return pids


def pss_bytes(pid: int) -> int:
    """Give a process's share of memory (PSS): pages shared by n processes count one n-th. 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass
    return 0


def cpu_seconds(pid: int) -> float:
    """Give the processor time a process has used, its ended children included. 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """Give the children of a process, and theirs."""
    pids: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                pids += [int(child), *descendants(int(child))]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return pids
