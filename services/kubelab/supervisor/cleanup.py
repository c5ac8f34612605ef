"""Take a cluster away from what the disk says about it, whoever is dead already.

Everything here is idempotent: what is gone is no error. It blocks; nothing else of the cluster may be asked meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from kubelab.apimachinery.clock import Clock
from kubelab.cluster.record import RUN_ROOT, Record
from kubelab.supervisor import network, processes

STOP_SECONDS = 5.0


def everything(record: Record, clock: Clock, *, delete: bool) -> None:
    """Stop every process and pod of a cluster, and remove its network; with ``delete`` its data as well."""
    running = processes.read_all(record.processes)
    for name in (processes.ZYGOTE, processes.SUPERVISOR):  # in this order: the zygote would start a new supervisor
        found = running.pop(name, None)
        if found:
            end([found.pid], signal.SIGKILL, clock)
    etcd = [r.pid for r in running.values() if r.name.startswith("etcd@")]
    end([r.pid for r in running.values() if r.pid not in etcd], signal.SIGTERM, clock)
    end(etcd, signal.SIGTERM, clock)
    pods(record)
    end(processes.inside(network.inodes(record)), signal.SIGKILL, clock)
    network.remove(record)
    files(record, delete=delete)


def pods(record: Record) -> None:
    """Stop the pods of every node, and take their mounts, cgroups and namespaces away."""
    from kubelab.runtime.cleanup import cleanup  # only here: it brings the runtime's imports along

    states = [record.folder / "runtime" / node for node in record.node_names]
    with ThreadPoolExecutor(max_workers=len(states)) as pool:
        for done in [pool.submit(cleanup, state) for state in states if state.is_dir()]:
            done.result()


def files(record: Record, *, delete: bool) -> None:
    """Remove the run folder; with ``delete`` the cluster's folder as well."""
    _remove_tree(str(record.run))
    with contextlib.suppress(OSError):
        RUN_ROOT.rmdir()  # when this was the last cluster
    if delete:
        _remove_tree(str(record.folder))
        with contextlib.suppress(OSError):
            record.folder.parent.rmdir()


def end(pids: Iterable[int], number: signal.Signals, clock: Clock) -> None:
    """Signal processes and wait until they are gone; SIGKILL for those that are not after five seconds."""
    watched: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            watched[os.pidfd_open(pid)] = pid
    for fd in watched:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
            signal.pidfd_send_signal(fd, signal.SIGCONT)
    left = _wait(set(watched), STOP_SECONDS, clock)
    for fd in left:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    _wait(left, STOP_SECONDS, clock)
    for fd in watched:
        os.close(fd)


def _wait(fds: set[int], seconds: float, clock: Clock) -> set[int]:
    """Wait until every process behind these pidfds has ended; gives those that have not in time."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    left, deadline = set(fds), clock.monotonic() + seconds
    while left and (rest := deadline - clock.monotonic()) > 0:
        for fd, _ in poll.poll(rest * 1000):
            poll.unregister(fd)
            left.discard(fd)
    return left


def _remove_tree(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
