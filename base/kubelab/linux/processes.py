"""Identify a process by its pid and start time: pids are reused, but the pair is unique within one boot."""

from __future__ import annotations

from pathlib import Path


def boot_id() -> str:
    """Give the id of the machine's current boot (proc(5), ``/proc/sys/kernel/random/boot_id``)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """Give the time at which a process began, in clock ticks since boot.

    None: there is no such process, or it is a zombie (in some containers pid 1 never reaps).
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name may hold anything, parentheses too
    return None if fields[0] in ("Z", "X") else int(fields[19])
