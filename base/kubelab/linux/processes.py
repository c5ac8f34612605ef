"""Identify a process by its pid and start time: pids are reused, but the pair is unique within one boot."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

END_SECONDS = 5.0  # for SIGKILL to take effect


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


def kill_and_wait(pids: Iterable[int]) -> None:
    """Kill processes that need not be ours, and wait until they have ended. Blocking; one that is gone is no error."""
    poll, watched = select.poll(), set[int]()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            watched.add(fd)
            poll.register(fd, select.POLLIN)
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    while watched and (ended := poll.poll(END_SECONDS * 1000)):
        for fd, _ in ended:
            poll.unregister(fd)
            os.close(fd)
            watched.discard(fd)
    for fd in watched:
        os.close(fd)
