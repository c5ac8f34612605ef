"""Remove a cluster by what the disk says about it; any of its processes may be dead already.

Everything here is idempotent: a missing part is no error. It blocks; no other part of the cluster runs meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor

from kubelab.apimachinery.clock import Clock
from kubelab.supervisor import network, plan, processes
from kubelab.topology import lock
from kubelab.topology.record import RUN_ROOT, Record

STOP_SECONDS = 5.0


def everything(record: Record, clock: Clock, *, delete: bool) -> None:
    """Stop every process and pod of a cluster, and remove its network; with ``delete`` its data as well."""
    with _in_the_supervisors_place(record, clock):
        running = processes.read_all(record.processes).values()
        etcd = [r.pid for r in running if r.name.startswith("etcd@")]
        end([r.pid for r in running if r.pid not in etcd], signal.SIGTERM, clock)
        end(etcd, signal.SIGTERM, clock)
        pods(record)
        strays(record, clock)
        network.remove(record)
        files(record, delete=delete)


@contextlib.contextmanager
def _in_the_supervisors_place(record: Record, clock: Clock) -> Generator[None]:
    """Kill the supervisor and hold its lock, so that a supervisor that starts at this moment gives up."""
    while True:
        names = (processes.SUPERVISOR, processes.ZYGOTE)
        guardians = [running for name in names if (running := processes.read(record.processes, name))]
        for guardian in guardians:  # frozen before either is killed: the other would replace it
            guardian.signal(signal.SIGSTOP)
        end([guardian.pid for guardian in guardians], signal.SIGKILL, clock)
        try:
            held = lock.take(record.run)
        except lock.AlreadyRunning as other:
            end([other.pid] if other.pid else [], signal.SIGKILL, clock)
        except FileNotFoundError:
            yield  # without a run folder there can be no supervisor
            return
        else:
            break
    try:
        yield
    finally:
        os.close(held)


def pods(record: Record) -> None:
    """Stop the pods of every node, and take their mounts, cgroups and namespaces away."""
    from kubelab.runtime.pods.cleanup import cleanup  # only here: it brings the runtime's imports along

    states = [record.folder / "runtime" / node for node in record.node_names]
    with ThreadPoolExecutor(max_workers=len(states)) as pool:
        for done in [pool.submit(cleanup, state) for state in states if state.is_dir()]:
            done.result()
    volumes(record)


def groups(record: Record) -> None:
    """Take away the control groups of a cluster whose folder does not say any more where they are."""
    from kubelab.runtime.pods.cleanup import cleanup_groups

    cleanup_groups(plan.control_group(record))


def volumes(record: Record) -> None:
    """Take away what the kubelets mounted for pods, once none runs. It comes before any folder is removed, for a folder
    of the machine's own may be mounted there. OSError for a mount that stays."""
    from kubelab.kubelet.volumes.machine import MachineMounts

    MachineMounts().unmount_below(record.folder / "kubelet")


def strays(record: Record, clock: Clock) -> None:
    """End what still runs in a cluster's namespaces though no record names it; the calling process stays."""
    pids = processes.inside(network.inodes(record))
    end([pid for pid in pids if pid != os.getpid()], signal.SIGKILL, clock)


def files(record: Record, *, delete: bool) -> None:
    """Remove the run folder; with ``delete`` the cluster's folder as well."""
    removed = record.run.with_name(f"{record.run.name}.removed")
    _remove_tree(str(removed))  # what another removal left that was cut short
    with contextlib.suppress(FileNotFoundError):
        record.run.rename(removed)  # first of all: a process that starts late finds no folder to leave a file in
    _remove_tree(str(removed))
    with contextlib.suppress(OSError):
        RUN_ROOT.rmdir()  # when this was the last cluster
    if delete:
        volumes(record)
        _remove_tree(str(record.folder))
        with contextlib.suppress(OSError):
            record.folder.parent.rmdir()


def end(pids: Iterable[int], number: signal.Signals, clock: Clock) -> None:
    """Signal processes and wait until they are gone; SIGKILL for those that are not after five seconds."""
    with holding(pids) as watched:
        _signal(watched, number)
        _signal(watched, signal.SIGCONT)
        kill(_wait(set(watched), STOP_SECONDS, clock), clock)


@contextlib.contextmanager
def holding(pids: Iterable[int]) -> Generator[list[int]]:
    """Give a pidfd for each of these processes that is there: no later process can be taken for it."""
    with contextlib.ExitStack() as stack:
        fds: list[int] = []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                fds.append(os.pidfd_open(pid))
                stack.callback(os.close, fds[-1])
        yield fds


def kill(fds: Iterable[int], clock: Clock) -> None:
    """Kill the processes behind these pidfds, those that still run, and wait until they are gone."""
    fds = set(fds)
    _signal(fds, signal.SIGKILL)
    _wait(fds, STOP_SECONDS, clock)


def _signal(fds: Iterable[int], number: signal.Signals) -> None:
    for fd in fds:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)


def _wait(fds: set[int], seconds: float, clock: Clock) -> set[int]:
    """Wait until every process behind these pidfds has ended; gives those that have not in time."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    remaining, deadline = set(fds), clock.monotonic() + seconds
    while remaining and (rest := deadline - clock.monotonic()) > 0:
        for fd, _ in poll.poll(rest * 1000):
            poll.unregister(fd)
            remaining.discard(fd)
    return remaining


def _remove_tree(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
