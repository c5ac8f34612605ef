"""Run several processes behind one port: the parent only forks, waits and forwards signals.

The parent forks before anything of gRPC exists and never makes a loop or a channel of its own. A child that dies is
forked again, with a growing pause when it dies at once. Children are killed by the kernel when the parent is.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.linux import syscalls

PAUSES = ExponentialBackoff(0.1, 5.0)  # before a child that died at once is forked again
SETTLED = 10.0  # a child that lived this long did not die at once
GIVE_UP = 5  # quick deaths in a row, before any child was well, after which the parent ends with the child's code
KILL_AFTER = 10.0  # seconds that children have to end

_FORWARDED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def prefork(count: int, child: Callable[[int], int], *, name: str, clock: Clock | None = None) -> int:
    """Run ``child(n)`` in ``count`` processes until SIGTERM or SIGINT; gives the exit code."""
    return _Parent(count, child, name, clock or SystemClock()).run()


class _Parent:
    def __init__(self, count: int, child: Callable[[int], int], name: str, clock: Clock) -> None:
        self._child, self._name, self._clock = child, name, clock
        self._pids: dict[int, tuple[int, float]] = {}  # pid → worker, started
        self._due: dict[int, float] = dict.fromkeys(range(count), 0.0)  # worker → when to fork it
        self._quick = 0
        self._was_well = False

    def run(self) -> int:
        watched = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, *_FORWARDED}
        # Blocked signals wait for sigtimedwait below: no handler runs between two lines of this loop.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        try:
            while True:
                self._fork_due(before)
                got = self._wait(watched)
                if got in (signal.SIGTERM, signal.SIGINT):
                    return self._stop(watched)
                if got in _FORWARDED:
                    self._signal(signal.Signals(got))
                code = self._reap()
                if code is not None and not self._was_well and self._quick >= GIVE_UP:
                    self._stop(watched)
                    return code
        finally:
            self._signal(signal.SIGKILL)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _wait(self, watched: set[signal.Signals]) -> int | None:
        now = self._clock.monotonic()
        seconds = max(0.0, min(self._due.values()) - now) if self._due else SETTLED
        info = signal.sigtimedwait(watched, seconds)
        if any(now - started > SETTLED for _, started in self._pids.values()):
            self._was_well, self._quick = True, 0
        return info.si_signo if info else None

    def _fork_due(self, mask: set[signal.Signals | int] | set[int]) -> None:
        for worker in [w for w, when in self._due.items() if when <= self._clock.monotonic()]:
            del self._due[worker]
            sys.stdout.flush()
            sys.stderr.flush()
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                os._exit(self._in_child(worker, parent, mask))
            self._pids[pid] = (worker, self._clock.monotonic())

    def _in_child(self, worker: int, parent: int, mask: set[signal.Signals | int] | set[int]) -> int:
        try:
            syscalls.die_with_parent()
            if os.getppid() != parent:
                return 1  # the parent died before prctl took effect
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return self._child(worker)
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 1
        except BaseException:  # noqa: BLE001 — nothing above this line would print it
            traceback.print_exc()
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    def _reap(self) -> int | None:
        """Note every child that ended; give the last one's exit code, None when none did."""
        last = None
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid not in self._pids:
                continue
            worker, started = self._pids.pop(pid)
            last = os.waitstatus_to_exitcode(status)
            lived = self._clock.monotonic() - started
            self._quick = 0 if lived > SETTLED else self._quick + 1
            pause = PAUSES.delay(max(1, self._quick))
            self._due[worker] = self._clock.monotonic() + pause
            print(f"{self._name}: worker {worker} ended ({last}), again in {pause:.1f}s", file=sys.stderr)  # noqa: T201
        return last if last is None or last > 0 else 1

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids:
            os.kill(pid, number)

    def _stop(self, watched: set[signal.Signals]) -> int:
        """End the children; what does not end in time is killed."""
        self._due.clear()
        self._signal(signal.SIGTERM)
        deadline = self._clock.monotonic() + KILL_AFTER
        worst = 0
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in self._pids:
                del self._pids[pid]
                worst = worst or (0 if status == 0 else 1)
            elif pid == 0:
                remaining = deadline - self._clock.monotonic()
                if remaining <= 0:
                    self._signal(signal.SIGKILL)
                    deadline = self._clock.monotonic() + KILL_AFTER
                else:
                    signal.sigtimedwait(watched, remaining)
        return worst
