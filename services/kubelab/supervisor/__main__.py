"""``python -m kubelab.supervisor --cluster NAME``: certificates → network → zygote → supervisor.

One process imports every component, freezes what it has, and forks: the child is the zygote, the parent goes on as the
supervisor, so the two share their memory with each other and with every component. The supervisor writes each step
to ``--progress-fd`` as a line, then ``ready``; or ``busy`` when there is another supervisor, or ``failed`` and why.
``kubelab up`` reads it. ``--clean`` removes a cluster that has no supervisor any more.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.component.config import ConfigError
from kubelab.component.descriptors import raise_limit
from kubelab.files import statefile
from kubelab.supervisor import network, preload, processes
from kubelab.topology import lock
from kubelab.topology.record import Record, RecordError

if TYPE_CHECKING:
    import structlog
FAILED, BUSY = 1, 3


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """The command line."""

    home: Path
    cluster: str
    progress: int | None
    clean: bool
    delete: bool
    zygote: tuple[int, int] | None  # restarts, descriptor

    def command(self) -> list[str]:
        """The command that starts another zygote for this cluster, without its two numbers."""
        return ["-m", "kubelab.supervisor", "--home", str(self.home), "--cluster", self.cluster, "--zygote"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run, clean up, or be a zygote; gives the exit code."""
    options = _options(argv)
    progress = _Progress(options.progress)
    try:
        record = Record.load(options.home, options.cluster)
    except RecordError as err:
        return progress.failed(str(err))
    if record is None:
        return progress.failed(f'cluster "{options.cluster}" not found in {options.home}')
    if options.clean:
        from kubelab.supervisor import cleanup

        cleanup.everything(record, SystemClock(), delete=options.delete)
        return 0
    if options.zygote:
        restarts, descriptor = options.zygote
        preload.preload()
        _be_zygote(record, options, socket.socket(fileno=descriptor), restarts)
    return _begin(record, options, progress)


def _begin(record: Record, options: SupervisorOptions, progress: _Progress) -> int:
    from kubelab.linux import syscalls
    from kubelab.pki import certificates
    from kubelab.supervisor import etcdmembers, plan

    raise_limit()  # also of what is forked from here
    record.run.mkdir(parents=True, exist_ok=True)
    record.run.chmod(0o700)
    record.processes.mkdir(exist_ok=True, mode=0o700)
    try:
        held = lock.take(record.run)  # first of all: what another one looks after is not touched
        syscalls.become_subreaper()
        plan.check(record)
        progress.step("certificates")
        certificates.ensure(
            record.pki, record.nodes, datetime.datetime.fromtimestamp(SystemClock().time(), datetime.UTC)
        )
        plan.write(record, plan.plan(record).files)
        lost = etcdmembers.look(record)
        if lost:
            progress.step(lost)
        progress.step("network")
        network.create(record)
    except lock.AlreadyRunning as other:
        return progress.busy(f'another supervisor ({other}) looks after "{record.name}"')
    except (OSError, ConfigError, etcdmembers.DataLost, network.NetworkError) as err:
        return progress.failed(statefile.in_words(err))
    preload.preload()
    progress.step("processes")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        os.close(held)
        progress.close()
        _be_zygote(record, options, theirs, restarts=0)
    theirs.close()
    return _supervise(record, options, ours, progress, restarts=0)


def _be_zygote(record: Record, options: SupervisorOptions, channel: socket.socket, restarts: int) -> NoReturn:
    from kubelab.linux import syscalls
    from kubelab.supervisor import zygote

    syscalls.become_subreaper()
    own_process = _own_process(record, processes.ZYGOTE, restarts)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def respawn(to_zygote: socket.socket) -> NoReturn:
        progress = _Progress(None)
        try:
            lock.take(record.run)
        except (lock.AlreadyRunning, FileNotFoundError) as err:  # another one was quicker, or a command cleaned up
            to_zygote.send(b'{"op": "quit"}')
            os._exit(progress.busy(f'"{record.name}" needs no other supervisor: {err}'))
        before = processes.restarts_of(record.processes, processes.SUPERVISOR)
        syscalls.become_subreaper()
        os._exit(_supervise(record, options, to_zygote, progress, restarts=before + 1))

    def lead(to_supervisor: socket.socket, restarts: int) -> NoReturn:
        _be_zygote(record, options, to_supervisor, restarts)

    zygote.Zygote(channel, respawn, lead, SystemClock()).run()
    processes.forget(record.processes, own_process)
    os._exit(0)


def _supervise(
    record: Record, options: SupervisorOptions, channel: socket.socket, progress: _Progress, *, restarts: int
) -> int:
    from kubelab.component import logs
    from kubelab.supervisor import cleanup, supervisor

    clock = SystemClock()
    log = logs.configure("supervisor", level="info", form="text", clock=clock)
    own_process = _own_process(record, processes.SUPERVISOR, restarts)
    host = supervisor.enter_cluster(record)
    try:
        delete = asyncio.run(_run(record, options, channel, host, clock, log, own_process, progress))
    except Exception as err:
        log.error("failed", exc_info=err)
        return progress.failed(_innermost(err))
    finally:
        host.close()
    cleanup.files(record, delete=delete)
    return 0


async def _run(
    record: Record,
    options: SupervisorOptions,
    channel: socket.socket,
    host: network.NamespaceThread,
    clock: Clock,
    log: structlog.typing.FilteringBoundLogger,
    own_process: processes.Running,
    progress: _Progress,
) -> bool:
    from kubelab.rpc.supervisor.v1 import supervisor_pb2_grpc
    from kubelab.supervisor.rpc import SupervisorServicer
    from kubelab.supervisor.spawner import Spawner
    from kubelab.supervisor.supervisor import Supervisor

    spawner = Spawner(channel, options.command(), record.processes, host, clock, log)
    it = Supervisor(record, spawner, host, clock, log, own_process)
    servicer = SupervisorServicer(it)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, it.ask_down)
    await it.run(lambda server: supervisor_pb2_grpc.add_SupervisorServicer_to_server(servicer, server), progress.ready)
    return it.delete


def _own_process(record: Record, name: str, restarts: int) -> processes.Running:
    """Become ``name`` for people and for the record."""
    from kubelab.linux import syscalls

    if os.getpid() != os.getsid(0):
        os.setsid()
    # kubelab.cluster.othercluster reads the supervisor's title: where a cluster lives that another user looks for.
    syscalls.set_title(f"kubelab: {name} {record.name} in {record.home}")
    return processes.write_own(record.processes, name, since=int(SystemClock().time() * 1e9), restarts=restarts)


class _Progress:
    """Lines for ``kubelab up``; without a descriptor they are dropped."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def step(self, name: str) -> None:
        self._write(f"step {name}")

    def ready(self) -> None:
        self._write("ready")
        self.close()

    def failed(self, why: str) -> int:
        print(why, file=sys.stderr)  # noqa: T201 — the log of this process
        self._write(f"failed {why}")
        return FAILED

    def busy(self, who: str) -> int:
        print(who, file=sys.stderr)  # noqa: T201 — the log of this process
        self._write("busy")
        return BUSY

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _write(self, line: str) -> None:
        if self._fd is not None:
            try:
                os.write(self._fd, f"{line}\n".encode())
            except BrokenPipeError:
                self._fd = None  # `kubelab up` was interrupted


def _innermost(err: BaseException) -> str:
    while isinstance(err, BaseExceptionGroup) and err.exceptions:
        err = err.exceptions[0]
    return str(err) or repr(err)


def _options(argv: Sequence[str] | None) -> SupervisorOptions:
    parser = argparse.ArgumentParser(prog="kubelab.supervisor", description=__doc__, allow_abbrev=False)
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("KUBELAB_HOME") or "~/.kubelab").expanduser())
    parser.add_argument("--cluster", required=True, help="name of the cluster")
    parser.add_argument("--progress-fd", type=int, help="descriptor to write each step to")
    parser.add_argument("--clean", action="store_true", help="stop and remove what is left of the cluster")
    parser.add_argument("--delete", action="store_true", help="with --clean: the data too")
    parser.add_argument("--zygote", type=int, nargs=2, help=argparse.SUPPRESS)
    parsed = parser.parse_args(argv)
    zygote = (int(parsed.zygote[0]), int(parsed.zygote[1])) if parsed.zygote else None
    return SupervisorOptions(parsed.home, parsed.cluster, parsed.progress_fd, parsed.clean, parsed.delete, zygote)


if __name__ == "__main__":
    sys.exit(main())
