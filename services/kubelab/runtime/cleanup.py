"""Ending what a runtime left running: for `kubelab down`, when the runtime itself is gone already.

Processes are found by what the state on disk says and checked by their start, never by their name. Mounts live in the
monitors' mount namespaces and network devices in the pods' network namespaces: both go with the processes.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

from kubelab.apimachinery.clock import SystemClock
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime import state
from kubelab.runtime.signals import send, signal_number

CLOCK = SystemClock()
SECONDS = 10.0


def cleanup(state_dir: Path, *, grace: float = 2.0) -> None:
    """Ask every container to end, end what has not after ``grace`` seconds, then end the pods' namespaces.

    Blocking. Nothing there is no error; what is on disk stays, and a runtime that is started again sees all ended.
    """
    sandboxes, containers = state.load(state_dir)
    orphans = [pid for c in containers.values() if (pid := c.orphan)]  # somebody killed their monitors
    for pid in orphans:
        send(pid, signal.SIGKILL)
    running = [c for c in containers.values() if c.state == cri.CONTAINER_RUNNING and c.started and c.monitored]
    for container in running:
        if container.started:
            send(container.started["pid"], signal_number(container.stop_signal))
    left = _wait([c.started["monitor"] for c in running if c.started], grace)
    for container in running:
        if container.started and container.started["monitor"] in left:
            send(container.started["pid"], signal.SIGKILL)
    _wait([*left, *orphans], SECONDS)
    pauses = [sandbox.pid for sandbox in sandboxes.values() if sandbox.alive]
    for pid in pauses:
        send(pid, signal.SIGKILL)
    _wait(pauses, SECONDS)


def _wait(pids: Iterable[int], seconds: float) -> list[int]:
    """Wait for processes to end; give those that have not."""
    poll, open_fds = select.poll(), dict[int, int]()
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        open_fds[fd] = pid
        poll.register(fd, select.POLLIN)
    deadline = CLOCK.monotonic() + seconds
    while open_fds and (left := deadline - CLOCK.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            os.close(fd)
            del open_fds[fd]
    still = list(open_fds.values())
    for fd in open_fds:
        os.close(fd)
    return still
