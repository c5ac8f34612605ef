"""Which process a pid means."""

from __future__ import annotations

import os
from pathlib import Path

from kubelab.linux.processes import boot_id, start_time


def test_a_process_that_nobody_has_waited_for_is_gone() -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(read, 1)
        os._exit(0)
    assert start_time(pid)
    os.write(write, b"x")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        assert start_time(pid) is None
    finally:
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)
    assert start_time(pid) is None


def test_the_start_of_a_process_is_its_own() -> None:
    assert start_time(os.getpid()) == start_time(os.getpid())
    assert start_time(2**22 + 1) is None


def test_a_boot_has_one_id() -> None:
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
