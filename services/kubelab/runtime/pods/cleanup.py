"""Ending what a runtime left running: for `kubelab down`, when the runtime itself is gone already.

Processes are found by what the state on disk says and checked by their start, never by their name. Mounts live in the
monitors' mount namespaces and network devices in the pods' network namespaces: both go with the processes. Control
groups are where the state says that they were made.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

from kubelab.apimachinery.clock import SystemClock
from kubelab.runtime.cgroups import groups, machine
from kubelab.runtime.cgroups.machine import Offer
from kubelab.runtime.launcher.signals import send, signal_number
from kubelab.runtime.pods import state

CLOCK = SystemClock()
SECONDS = 10.0


def cleanup(state_dir: Path, *, grace: float = 2.0) -> None:
    """Ask every container to end, end what has not after ``grace`` seconds, then end the pods' namespaces.

    Blocking. Nothing there is no error; what is on disk stays, and a runtime that is started again sees all ended.
    """
    sandboxes, containers = state.load(state_dir)
    running = [c for c in containers.values() if c.alive]
    for container in running:
        # the output of a container whose monitor was killed has no reader: it could block before it ends
        number = signal_number(container.stop_signal) if container.monitored else signal.SIGKILL
        send(container.pid, number)
    monitors = [c.started["monitor"] for c in containers.values() if c.started and c.monitored]
    running_pids = _wait([*monitors, *(c.pid for c in running)], grace)
    for container in running:
        if container.alive:
            send(container.pid, signal.SIGKILL)
    _wait(running_pids, SECONDS)
    pauses = [sandbox.pid for sandbox in sandboxes.values() if sandbox.alive]
    for pid in pauses:
        send(pid, signal.SIGKILL)
    _wait(pauses, SECONDS)
    if recorded := state.read_groups(state_dir):
        groups.remove_all(Offer.from_json(recorded), recorded["name"])


def cleanup_groups(name: str) -> None:
    """Take the control groups of this name away when no state is left that says where they were made. Processes in them
    are killed."""
    for folder in machine.existing(name):
        groups.remove_all(Offer((machine.Tree(0, (), str(folder)),)), name)


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
    while open_fds and (remaining := deadline - CLOCK.monotonic()) > 0:
        for fd, _ in poll.poll(remaining * 1000):
            poll.unregister(fd)
            os.close(fd)
            del open_fds[fd]
    still = list(open_fds.values())
    for fd in open_fds:
        os.close(fd)
    return still
