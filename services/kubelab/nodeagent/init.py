"""The init process of a node's machine.

One thread only waits for signals, so that it may fork at any time, and stays small::

    this process ─┬─ launcher ── pauses, monitors ── containers
                  └─ agent (gRPC)

Orphans become its children and are reaped. The launcher and the agent are started again when they end; pods go on. At
SIGTERM it launches nothing more, ends the pods as their runtime would, and exits. Where it is a container's first
process, the kernel then kills all others.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.component import logs
from kubelab.component.config import ConfigError, HelpShown, load
from kubelab.linux import syscalls
from kubelab.nodeagent import machine
from kubelab.nodeagent.config import NodeAgentConfig
from kubelab.runtime.launcher import server as launcher

SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)
FIRST_DELAY, MAX_DELAY, STABLE_SECONDS = 0.1, 5.0, 10.0
STOP_SECONDS = 20.0  # beyond the containers' own grace, for all that has to end
NAME = "node-agent"


def run(argv: Sequence[str]) -> int:
    """Be a machine until SIGTERM. Gives the exit code."""
    try:
        config = load(NodeAgentConfig, argv, prog=NAME)
        _ = config.ports  # reports an invalid range now
    except HelpShown:
        return 0
    except ConfigError as err:
        print(f"{NAME}: {err}", file=sys.stderr)  # noqa: T201 — there is no logger yet
        return 1
    clock = SystemClock()
    config.name = config.name or f"{NAME}@{config.node_name or os.uname().nodename}"
    log = logs.configure(config.name, level=config.log_level, form=config.log_format, clock=clock)
    try:
        machine.prepare(config.state_dir, (config.socket.parent, config.launcher_socket.parent))
    except machine.PreparationError as err:
        log.error("cannot prepare this machine as a node", error=str(err))
        return 1
    try:
        machine.bound_listeners()
    except machine.PreparationError as err:  # a node works without
        log.warning(str(err))
    return Init(config, argv, clock, log).run()


@dataclass
class Child:
    """A process that is started again when it ends; ``due`` is when, while it is not there."""

    name: str
    body: Callable[[], None]
    pid: int = 0
    began: float = 0.0
    failures: int = 0
    due: float = 0.0


class Init:
    """Starts the launcher and the agent again when they end, and reaps orphans."""

    def __init__(
        self, config: NodeAgentConfig, argv: Sequence[str], clock: Clock, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._config, self._clock, self._log = config, clock, log
        self._launcher = Child("launcher", lambda: launcher.listen(config.launcher_socket))
        self._agent = Child("agent", lambda: _be_agent(argv))
        self._ending = False

    def run(self) -> int:
        """Look after them until SIGTERM or SIGINT."""
        syscalls.set_name("kl-node")
        syscalls.become_subreaper()  # of no effect on the first process of all
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # blocked ones wait for us, also for a container's first
        self._log.info("machine is ready", name=self._config.name)
        while True:
            self._start_due()
            if self._wait(self._next_due()) in (signal.SIGTERM, signal.SIGINT):
                break
            self._reap()
        self._stop()
        return 0

    @property
    def _children(self) -> tuple[Child, Child]:
        return self._launcher, self._agent

    def _next_due(self) -> float | None:
        """Seconds until the next child is due to start; None when all run."""
        due = [child.due for child in self._children if not child.pid]
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    @staticmethod
    def _wait(seconds: float | None) -> int:
        """Wait for a signal; 0 when none came in time."""
        if seconds is None:
            return signal.sigwaitinfo(SIGNALS).si_signo
        received = signal.sigtimedwait(SIGNALS, seconds)
        return received.si_signo if received else 0

    def _start_due(self) -> None:
        now = self._clock.monotonic()
        for child in self._children:
            if not child.pid and child.due <= now:
                child.pid, child.began = fork(child.body), now

    def _reap(self) -> set[int]:
        """Reap every process that has ended; gives their pids."""
        ended: set[int] = set()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            ended.add(pid)
            for child in self._children:
                if child.pid == pid:
                    self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, code: int) -> None:
        child.pid = 0
        if self._ending:
            return
        now = self._clock.monotonic()
        child.failures = 0 if now - child.began >= STABLE_SECONDS else child.failures + 1
        delay = min(FIRST_DELAY * 2**child.failures, MAX_DELAY)
        child.due = now + delay
        self._log.warning(f"{child.name} ended, starting it again", code=code, seconds=delay)

    def _stop(self) -> None:
        """End pods, then the agent; nothing is launched any more."""
        self._log.info("stopping", grace_seconds=self._config.grace_seconds)
        self._ending = True
        for child, number in ((self._launcher, signal.SIGKILL), (self._agent, signal.SIGTERM)):
            if child.pid:
                os.kill(child.pid, number)
        remaining = {fork(self._end_pods), self._agent.pid} - {0}
        deadline = self._clock.monotonic() + self._config.grace_seconds + STOP_SECONDS
        while remaining:
            seconds = deadline - self._clock.monotonic()
            if seconds <= 0:
                self._log.warning("did not stop in time")
                return  # the remaining processes end with this one
            signal.sigtimedwait((signal.SIGCHLD,), seconds)
            remaining -= self._reap()

    def _end_pods(self) -> None:
        from kubelab.runtime.pods.cleanup import cleanup

        cleanup(self._config.state_dir, grace=self._config.grace_seconds)


def fork(body: Callable[[], None]) -> int:
    """Start a process that ends with this one."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        syscalls.die_with_parent()
        if os.getppid() != parent:  # it was too late for that
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        launcher.leave(body)
    return pid


def _be_agent(argv: Sequence[str]) -> None:
    from kubelab.nodeagent.agent import COMPONENT

    syscalls.set_name("kl-agent")
    sys.exit(COMPONENT.main(argv))
