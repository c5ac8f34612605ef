"""One experiment's session beside Chaos Toolkit: a thread with the event loop that makes every remote call.

Chaos Toolkit calls actions, probes and controls one after the other on the main thread; :meth:`call` hands a
coroutine to the loop and waits for it. The recorder, the steady requests and the steady writes run in the loop all the
time. :meth:`ExperimentSession.close` undoes everything, then stops them; it may be called twice.

A signal raises on the main thread in the middle of such a wait; the coroutine is cancelled then.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from kubelab.apimachinery.backoff import jittered
from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.errors import Conflict, NotFound, Unavailable
from kubelab.chaos import faults, load, targets, undolog, workload
from kubelab.chaos.faults import Faults
from kubelab.chaos.health import GOOD_IN_A_ROW, ClusterHealth
from kubelab.chaos.recorder import Recorder
from kubelab.chaos.recording import Recording, RecordingWriter
from kubelab.chaos.spec import ExperimentSpec
from kubelab.client.client import Client
from kubelab.cluster.driver import ClusterDriver, ClusterNode, ClusterStatus
from kubelab.cluster.find import find_cluster

T = TypeVar("T")
CALLER = "kubelab-chaos"
SETUP_SECONDS = 240.0  # an image may have to be built
UNDO_SECONDS = 180.0
READY_SECONDS = 60.0
AGAIN_SECONDS = 1.0
Print = Callable[[str], None]


class UnsuitableCluster(Exception):
    """The experiment asks for something that this cluster does not have; the message says what to do."""


class ExperimentSession:
    """See the module. ``print_line`` prints a line for a person."""

    def __init__(self, spec: ExperimentSpec, print_line: Print, clock: Clock | None = None) -> None:
        self.spec, self._print = spec, print_line
        self.clock: Clock = clock or SystemClock()
        self.recording = Recording(cluster=spec.cluster, began=self.clock.time())
        self.writer = RecordingWriter(self.recording, self.clock.monotonic, spec.beside)
        self.acknowledged: list[str] = []  # names of objects whose creation was answered for
        self.namespace = self.recording.namespace = workload.new_namespace()
        self.driver: ClusterDriver
        self.client: Client
        self.recorder: Recorder
        self.faults: Faults
        self.undo_log: undolog.UndoLog
        self.replicas = spec.replicas  # so many hello pods were asked for last
        self.well_since = 0.0  # when a probe last found that all is well again
        self._background: list[asyncio.Task[None]] = []
        self._group: asyncio.TaskGroup
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._up: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name="experiment", daemon=True)
        self._closed = False

    # --- from the main thread

    def start(self) -> None:
        """Connect, undo what an earlier experiment left, make the workload, begin to record. Raises what failed."""
        self._thread.start()
        self._up.result()
        self.call(self._set_up(), SETUP_SECONDS)

    def call(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run a coroutine in the session's loop and wait for it; TimeoutError after so many seconds."""
        assert self._loop is not None
        running = asyncio.run_coroutine_threadsafe(self._limited(work, seconds), self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()
            raise

    def close(self) -> None:
        """Undo everything, stop everything. Raises NotUndone when something stayed; the undo log keeps it then."""
        if self._closed or self._loop is None:
            return
        try:
            if self._thread.is_alive():
                self.call(self._tear_down(), UNDO_SECONDS)
        finally:
            self._closed = True
            self.writer.close()
            with contextlib.suppress(RuntimeError):  # its loop has ended already
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    # --- in the loop

    async def _limited(self, work: Awaitable[T], seconds: float) -> T:
        async with self.clock.timeout(seconds):
            return await work

    def _run(self) -> None:
        """The thread: one loop from the first connection to the last."""
        try:
            asyncio.run(self._main())
        except BaseException as err:
            if self._up.done():
                raise
            self._up.set_exception(_first(err))

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        with undolog.locked(undolog.path_of(self.spec.cluster)) as self.undo_log:
            self.driver = find_cluster(self.spec.cluster, caller=CALLER)
            try:
                async with Client.from_kubeconfig(
                    self.driver.kubeconfig, caller=CALLER, clock=self.clock, context=self.driver.name
                ) as self.client:
                    await self._serve()
            finally:
                await self.driver.close()

    async def _serve(self) -> None:
        self.faults = Faults(self.driver, self.undo_log, self.writer)
        self.recorder = Recorder(self.driver, self.client, self.namespace, self.writer, self.clock)
        self.faults.leaders = self.recorder.leaders
        await self._check_suitable()
        async with asyncio.TaskGroup() as self._group:
            self._begin(self.recorder.run(), "recorder")
            self._up.set_result(None)
            await self._stop.wait()
            for task in self._background:
                task.cancel()

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._background.append(self._group.create_task(work, name=name))

    async def _check_suitable(self) -> None:
        """Check everything that can be known before anything is done. Raises UnsuitableCluster, NotFound."""
        status = await self.driver.status()
        check_suitable(status, control_planes=self.spec.control_planes, nodes=self.spec.nodes)
        self._entrance(status)

    def _entrance(self, status: ClusterStatus) -> ClusterNode:
        """Find the node through which requests enter. NotFound."""
        if not self.spec.via:
            return status.nodes[0]
        name = targets.node(status, self.spec.via)
        return next(node for node in status.nodes if node.name == name)

    async def _set_up(self) -> None:
        if self.undo_log.entries:
            self._print(f'An earlier experiment was cut off ("{self.undo_log.title}"); undoing what it left')
            for done in await faults.undo_all(self.driver, self.client, self.undo_log):
                self._print(f"  {done}")
        self.undo_log.title = self.spec.title
        await self.recorder.wait_synced()
        for node in await workload.bring_image(self.driver):
            self._print(f"Built image {workload.IMAGE} on {node}")
        self.undo_log.add(undolog.UndoEntry(undolog.NAMESPACE, self.namespace))
        settings = workload.Workload(self.spec.replicas, self.spec.toleration_seconds)
        service = await workload.make(self.client, self.namespace, settings)
        async with self.clock.timeout(READY_SECONDS):
            await self.recorder.until(lambda: len(self.ready_pods()) >= self.spec.replicas)
        await self._load(service)

    async def _load(self, service: Any) -> None:
        """Begin the steady requests and writes."""
        if self.spec.requests_per_second > 0:
            status = await self.driver.status()
            node = self._entrance(status)
            port = service.spec.ports[0]
            inside = f"{service.spec.clusterIP}:{port.port}"
            target = inside if self.spec.address == "cluster-ip" else f"{node.address}:{port.nodePort}"
            self.undo_log.add(undolog.UndoEntry(undolog.TUNNEL, target))
            tunnel = await self.driver.open_tunnel(node.name, target)
            await self._forwarded()
            await self._answered(tunnel.local_port)
            rate = self.spec.requests_per_second
            self._begin(load.send_requests(tunnel.local_port, rate, self.writer, self.clock), "requests")
        if self.spec.writes_per_second > 0:
            rate = self.spec.writes_per_second
            note = self.acknowledged.append
            self._begin(load.send_writes(self.client, self.namespace, rate, self.writer, note), "writes")

    async def _forwarded(self) -> None:
        """Wait until every node's rules lead to every pod: before that, a failed request tells nothing."""
        wrong = await ClusterHealth(self).wait(ClusterHealth.rules, READY_SECONDS)
        if wrong:
            raise UnsuitableCluster(f"the rules do not lead to the pods: {wrong}")

    async def _answered(self, port: int) -> None:
        """Wait until the pods answer: without a probe a pod is Ready before the program in it listens."""
        try:
            async with self.clock.timeout(READY_SECONDS):
                await load.wait_answered(port, GOOD_IN_A_ROW, self.clock)
        except TimeoutError as err:
            raise UnsuitableCluster(f"the pods do not answer through the service within {READY_SECONDS:g} s") from err

    def ready_pods(self) -> list[str]:
        """Names of the pods that are Ready, by the last state of the api-server."""
        pods = self.writer.latest("pods")
        return sorted(name for name, (_, state) in pods.items() if state == "Ready")

    def hello_pods(self) -> dict[str, tuple[str, str]]:
        """Node and state of every pod of the replication controller that is not gone."""
        pods = self.writer.latest("pods")
        return {
            name: (pod[0], pod[1])
            for name, pod in pods.items()
            if name.startswith(f"{workload.NAME}-") and pod[1] != "Gone"
        }

    def some_pod(self, node: str = "") -> tuple[str, str]:
        """Choose a Ready hello pod: the first by name, on that node if one is named. Gives name and node."""
        place = targets.node(self.recorder.status, node) if node and self.recorder.status else ""
        for name, (on, state) in sorted(self.hello_pods().items()):
            if state == "Ready" and place in ("", on):
                return name, on
        raise NotFound("no hello pod is Ready" + (f" on {place}" if place else ""))

    async def changes(self, seconds: float) -> None:
        """Wait for any change, so many seconds at most."""
        self.recorder.changed.clear()
        try:
            async with self.clock.timeout(seconds):
                await self.recorder.changed.wait()
        except TimeoutError:
            return

    async def gather(self, seconds: float) -> None:
        """Wait until the last so many seconds have nothing in them: no fault's beginning or end, no recovery."""
        changes = [self.recording.requests[0].at if self.recording.requests else self.writer.now(), self.well_since]
        for fault in self.recording.faults:
            changes += [fault.begin, fault.begin if fault.end is None else fault.end]
        await self.clock.sleep(max(0.0, max(changes) + seconds - self.writer.now()))

    async def ended(self, before: float) -> None:
        """Wait until everything that began before a moment has ended: what is under way would be missing in a share."""
        while any(at <= before for at in self.writer.pending):
            await self.changes(0.05)

    def report(self, text: str) -> None:
        """Print a line, and record it as an event."""
        self._print(text)
        self.writer.event("Normal", "Experiment", "experiment", text)

    async def _tear_down(self) -> None:
        """Undo what was done, then remove what was made; what could not be undone stays in the undo log."""
        for task in self._background[1:]:
            task.cancel()
        try:
            for done in await self.faults.undo():
                self._print(f"Undone: {done}")
        finally:
            self.writer.close()  # the recording ends before the workload goes
            await self._remove_workload()

    async def _remove_workload(self) -> None:
        """Remove what was made. One that has just started may not answer yet; :meth:`close` sets the limit."""
        while True:
            try:
                await faults.remove_workload(self.driver, self.client, self.undo_log)
            except Unavailable as err:
                self._print(f"The cluster does not answer yet, trying again: {err.message}")
                await self.clock.sleep(jittered(AGAIN_SECONDS))
            else:
                return


def check_suitable(status: ClusterStatus, *, control_planes: int, nodes: int) -> None:
    """Check that a cluster is large enough. Raises UnsuitableCluster, which says how to start one that is."""
    have = targets.control_planes(status)
    if have < control_planes:
        raise UnsuitableCluster(
            f'this experiment needs {control_planes} control planes, cluster "{status.cluster}" has {have}; '
            f"start one with: kubelab up --name ha --control-planes {control_planes}"
        )
    if len(status.nodes) < nodes:
        raise UnsuitableCluster(
            f'this experiment needs {nodes} nodes, cluster "{status.cluster}" has {len(status.nodes)}; '
            f"start one with: kubelab up --name larger --nodes {nodes}"
        )


_current: ExperimentSession | None = None


def begin(session: ExperimentSession) -> None:
    """Make a session the one that actions and probes mean."""
    global _current
    _current = session


def end() -> None:
    """There is none any more."""
    global _current
    _current = None


def running() -> ExperimentSession | None:
    """The session that has begun and not ended, if there is one."""
    return _current


def current() -> ExperimentSession:
    """The session of the experiment that is under way. Conflict when there is none."""
    if _current is None:
        raise Conflict("no experiment is under way: it needs the control kubelab.chaos.controls")
    return _current


def _first(err: BaseException) -> BaseException:
    """Return the first exception of nested groups."""
    while isinstance(err, BaseExceptionGroup):
        err = err.exceptions[0]
    return err
