"""One keeper per process: it starts the process, checks its health, and starts it again when it has ended.

A keeper is one task; requests (kill, stop, start, …) only change the wanted state and wake it. So a process
is never started twice, and every change of state happens here. It calls ``changed`` after every change.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import BadRequest
from kubelab.files import statefile
from kubelab.supervisor import health, processes
from kubelab.supervisor.keeperstates import LIVE, BackOff, KeeperEvent, KeeperMachine, KeeperState
from kubelab.supervisor.processes import Running
from kubelab.supervisor.spawner import Spawner, SpawnError
from kubelab.supervisor.zygote import SpawnRequest

Watch = Callable[[Clock, Callable[[bool], Awaitable[None]]], Awaitable[None]]  # tells a process's health
STOP_SECONDS = 10.0  # between SIGTERM and SIGKILL
FROZEN_SECONDS = 2.0  # for SIGSTOP to take effect
STARTED_SECONDS = 30.0
LAST_LINE, LAST_BYTES = 512, 64 * 1024  # of what a process said last, and of its log in which to look for it


@dataclass(frozen=True)
class ProcessSpec:
    """A process: how to start it, where to check its health, and what must be healthy before its first start."""

    name: str
    component: str
    node: str
    request: SpawnRequest
    log: Path
    namespace: Path | None
    target: health.HealthTarget
    after: tuple[str, ...] = ()


class ProcessKeeper:
    """Keeps one process."""

    def __init__(
        self,
        spec: ProcessSpec,
        spawner: Spawner,
        clock: Clock,
        log: structlog.typing.FilteringBoundLogger,
        changed: Callable[[], None],
        watch: Watch | None = None,
    ) -> None:
        self.spec = spec
        self._watch_health_by = watch or functools.partial(health.watch, spec.target)
        self._spawner, self._clock, self._changed = spawner, clock, changed
        self._log = log.bind(process=spec.name)
        self.machine = KeeperMachine(spec.name)
        self.running: Running | None = None
        self.restarts = 0
        self.message = ""
        self.ready = asyncio.Event()  # it was healthy once
        self._should_run = not self._stopped.exists()
        self._wake = asyncio.Event()
        self._moved = asyncio.Condition()
        self._back_off = BackOff()
        self._watching: asyncio.Task[None] | None = None
        self._healthy = False

    @property
    def _stopped(self) -> Path:
        """A mark that it is down on request, for the supervisor after this one."""
        return Path(self.spec.request.records) / f".stopped-{self.spec.name}"

    @property
    def state(self) -> KeeperState:
        return self.machine.state

    async def run(self, before: Sequence[ProcessKeeper]) -> None:
        """Keep the process, once all of ``before`` were healthy; until cancelled."""
        running = await self._adopt()
        if running:
            self.restarts = running.restarts
        elif self._should_run:
            await self._wait_for(before)
        while True:
            if not running:
                await self._until_wanted()
                running = await self._adopt() or await self._start()
            if running:
                delay = await self._keep(running)
                running = None
            else:
                delay = self._back_off.after(0.0)
            if self._should_run and self.state is KeeperState.BACK_OFF:
                await self._pause(delay)
                self.restarts += 1

    async def stop(self) -> None:
        """End the process and keep it down; answers when it is gone. SIGKILL follows SIGTERM after ten seconds."""
        self._stopped.touch()
        await self.end()

    async def end(self) -> None:
        """The same, but for this supervisor's time only: the next one starts it."""
        self._should_run = False
        self._wake.set()
        if self.state not in LIVE:
            await self._apply(KeeperEvent.STOPPED)
            return
        if self._watching:
            self._watching.cancel()  # a server that stops waits for its open calls, ours among them
        self._signal(signal.SIGTERM)
        self._resume()  # it may be frozen: the first thing that it wakes up to is its end
        if not await self._until(lambda: self.state is KeeperState.STOPPED, STOP_SECONDS):
            self._log.warning("does not stop, killing it", seconds=STOP_SECONDS)
            self._signal(signal.SIGKILL)
            await self._until(lambda: self.state is KeeperState.STOPPED, STOP_SECONDS)

    async def start(self) -> None:
        """Start it, if it is down; returns when it is healthy, or after half a minute. BadRequest for a frozen one."""
        if self.state is KeeperState.PAUSED:
            raise BadRequest(f"{self.spec.name} is Paused; resume it: kubelab fault resume {self.spec.name}")
        self._should_run = True
        self._stopped.unlink(missing_ok=True)
        self._wake.set()
        await self._until(lambda: self.state is KeeperState.RUNNING, STARTED_SECONDS)

    async def restart(self) -> None:
        """Stop and start."""
        await self.stop()
        await self.start()

    async def kill(self) -> None:
        """Kill it without warning; answers when it is dead. It is started again."""
        killed = self._must_run()
        self._signal(signal.SIGKILL)
        await self._until(lambda: self.running is not killed, STOP_SECONDS)

    async def pause(self) -> None:
        """Freeze it; answers when it stands still."""
        pid = self._must_run().pid
        self._signal_group(signal.SIGSTOP)
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(FROZEN_SECONDS):
                # only a parent gets an event for a stop, and this process is not always the parent
                while not all(map(processes.is_frozen, processes.group(pid))):
                    await self._clock.sleep(0.002)
        await self._apply(KeeperEvent.PAUSE)

    async def resume(self) -> None:
        """Let a frozen one go on; one that is not frozen goes on as it is. BadRequest for one that is down."""
        if self.state is KeeperState.BACK_OFF:
            return
        self._must_run()
        self._resume()
        await self._apply(KeeperEvent.RESUME)
        if self._healthy:
            await self._apply(KeeperEvent.HEALTHY)

    def _must_run(self) -> Running:
        """Give what runs. BadRequest says why nothing does."""
        if self.running and self.state in LIVE:
            return self.running
        name = self.spec.name
        if self.state is KeeperState.STOPPED:
            raise BadRequest(f"{name} is Stopped; start it: kubelab fault start {name}")
        raise BadRequest(f"{name} does not run yet: it is just being started")

    async def _adopt(self) -> Running | None:
        """Adopt a running process: the former supervisor left it, or a zygote that died before it could report it."""
        running = processes.read(Path(self.spec.request.records), self.spec.name)
        if running:
            self._log.info("adopted", pid=running.pid)
            self._spawner.adopt(running)
            await self._apply(KeeperEvent.START)
            if processes.is_frozen(running.pid):
                await self._apply(KeeperEvent.PAUSE)
        return running

    async def _wait_for(self, before: Sequence[ProcessKeeper]) -> None:
        """Wait until all of ``before`` were healthy once, or until this one must stop."""
        await self._apply(KeeperEvent.WAIT)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_all_well_once(before), name=f"what {self.spec.name} stands on")
            waiting.add_done_callback(lambda _: self._wake.set())
            while self.state is KeeperState.WAITING and not waiting.done():
                self._wake.clear()
                await self._wake.wait()
            waiting.cancel()

    async def _until_wanted(self) -> None:
        while not self._should_run:
            self._wake.clear()
            await self._wake.wait()

    async def _pause(self, seconds: float) -> None:
        """Wait for the back-off; a request ends it early."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(seconds):
                await self._wake.wait()

    async def _start(self) -> Running | None:
        await self._apply(KeeperEvent.START)
        request = replace(self.spec.request, restarts=self.restarts)
        try:
            with _descriptors(self.spec.log, self.spec.namespace) as (log, namespace):
                return await self._spawner.start(request, log, namespace)
        except (SpawnError, OSError) as err:
            self.message = str(err)
            self._log.error("cannot be started", error=str(err))
            await self._apply(KeeperEvent.EXITED if self._should_run else KeeperEvent.STOPPED)
            return None

    async def _keep(self, running: Running) -> float:
        """Stay with a process until it has ended; gives the delay before the next one."""
        self.running, began = running, self._clock.monotonic()
        self._changed()
        if not self._should_run:
            self._signal(signal.SIGTERM)
        async with asyncio.TaskGroup() as group:
            self._watching = group.create_task(self._watch_health(), name=f"health of {self.spec.name}")
            code = await self._spawner.ended(running)
            self._watching.cancel()
        self.running, self._healthy = None, False
        lived = self._clock.monotonic() - began
        self.message = _how(code)
        if code and code > 0 and (said := await asyncio.to_thread(last_line, self.spec.log)):
            self.message += f": {said}"
        processes.forget(Path(self.spec.request.records), running)
        await self._apply(KeeperEvent.EXITED if self._should_run else KeeperEvent.STOPPED)
        delay = self._back_off.after(lived)
        self._log.info("ended", pid=running.pid, how=self.message, lived=round(lived, 1), again=self._should_run)
        return delay

    async def _watch_health(self) -> None:
        try:
            await self._watch_health_by(self._clock, self._heard)
        except OSError as err:  # its certificates are gone: it may run on, but its health cannot be checked
            self._log.error("cannot check its health", error=str(err))

    async def _heard(self, healthy: bool) -> None:
        self._healthy = healthy
        if healthy:
            self.ready.set()
        await self._apply(KeeperEvent.HEALTHY if healthy else KeeperEvent.UNHEALTHY)

    async def _apply(self, event: KeeperEvent) -> None:
        if self.machine.apply(event):
            self._changed()
            async with self._moved:
                self._moved.notify_all()

    async def _until(self, true: Callable[[], bool], seconds: float) -> bool:
        try:
            async with self._clock.timeout(seconds), self._moved:
                await self._moved.wait_for(true)
        except TimeoutError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            self.running.signal(number)

    def _signal_group(self, number: signal.Signals) -> None:
        """Signal a process with its workers: it leads a session of its own."""
        if self.running and self.running.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.running.pid, number)

    def _resume(self) -> None:
        self._signal_group(signal.SIGCONT)


async def _all_well_once(keepers: Sequence[ProcessKeeper]) -> None:
    for keeper in keepers:
        await keeper.ready.wait()


@contextlib.contextmanager
def _descriptors(log: Path, namespace: Path | None) -> Generator[tuple[int, int | None]]:
    """Open what a new process is given."""
    with contextlib.ExitStack() as stack:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, out)
        inner = None
        if namespace:
            inner = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, inner)
        yield out, inner


def _how(code: int | None) -> str:
    """Say how a process ended."""
    if code is None:
        return "ended"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exited with code {code}"


def last_line(log: Path) -> str:
    """Return a process's last log line, shortened: its reason to end; "" where it logged none.

    That is the last line of its log. A program of Go's that gives up writes stacks after it: of etcd it is the last
    record of the level fatal or panic.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
            lines = [line for line in map(str.strip, file.read().decode(errors="replace").split("\n")) if line]
    except OSError:
        return ""
    if lines and not lines[-1].startswith("{") and not any(line.startswith("goroutine ") for line in lines):
        return lines[-1][:LAST_LINE]
    reason = next(filter(None, map(_fatal, reversed(lines))), lines[-1] if lines else "")
    return reason[:LAST_LINE]


def _fatal(line: str) -> str:
    """Return the message of a log record that reports the end of a process; "" for another line."""
    try:
        record = statefile.json_with(level=str, msg=str)(line)
    except statefile.UNREADABLE:
        return ""
    if record["level"] not in ("fatal", "panic"):
        return ""
    return ": ".join(filter(None, (record["msg"], str(record.get("error", "")))))
