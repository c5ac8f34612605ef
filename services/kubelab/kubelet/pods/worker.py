"""One pod's worker: it looks, plans, acts, tells, and looks again until there is nothing to do at once.

What is serial: a worker's :meth:`PodWorker.sync` is never in two tasks (the queue sees to it), so its fields need no
lock. What is parallel: different pods, and the operations that take long (pulling an image, waiting for a container's
end): they are tasks of their own, known to the worker, and wake it when they are done. Who stops it: the manager's
task group.

::

    pod changed ─┐
    CRI event   ─┼─▶ sync: look (if something changed) ─▶ plan ─▶ tell the status ─▶ act ─┐
    timer due   ─┤              ▲                                                         │ something was done
    pull, stop  ─┘              └─────────────────────────────────────────────────────────┘
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import jittered
from kubelab.apimachinery.scheme import PODS
from kubelab.kubelet.backoff import Backoff
from kubelab.kubelet.containers.config import log_directory
from kubelab.kubelet.containers.manager import ContainerManager
from kubelab.kubelet.containers.sandboxes import SandboxManager
from kubelab.kubelet.cri.client import PodRef, RuntimeFailure, RuntimeUnavailable, calls_for
from kubelab.kubelet.cri.views import PodView
from kubelab.kubelet.dependencies import Dependencies
from kubelab.kubelet.images.manager import ImageManager
from kubelab.kubelet.logs.rotation import remove_log
from kubelab.kubelet.pods import plan as planning
from kubelab.kubelet.pods.lifecycle import PodLifecycle, Reason, WorkerPhase
from kubelab.kubelet.pods.plan import (
    DEADLINE_EXCEEDED,
    Action,
    CreateSandbox,
    Finish,
    Plan,
    PodHistory,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StopContainer,
    StopSandbox,
    Waiting,
)
from kubelab.kubelet.pods.state import Freshness, PodState, RuntimeCache, StartAttempts, StopUnderWay, WorkerLoop
from kubelab.kubelet.pods.status import StatusInput, compute, rejected
from kubelab.kubelet.volumes.manager import PodVolumes
from kubelab.rpc import tracing

MAX_ROUNDS = 10
STOP_RETRY_SECONDS = 1.0
CREATING = Waiting("ContainerCreating")


class PodWorker:
    """See the module."""

    def __init__(
        self, ref: PodRef, pod: core_pb2.Pod | None, deps: Dependencies, loop: WorkerLoop, *, known: bool
    ) -> None:
        """``known``: the runtime may have something of this pod already, so it has to be looked at first."""
        self._deps, self._loop = deps, loop
        config, now = deps.config, deps.clock.time()
        longest = config.max_container_restart_period
        self.state = PodState(
            ref=ref,
            pod=pod,
            lifecycle=PodLifecycle(f"{ref.namespace}/{ref.name}", now),
            runtime=RuntimeCache(
                PodView(ref.uid, ref.name, ref.namespace), Freshness.UNKNOWN if known else Freshness.CURRENT
            ),
            attempts=StartAttempts(
                crashes=Backoff(config.crash_loop_backoff, longest),
                starts=Backoff(config.crash_loop_backoff, longest),
                pulls_failed=Backoff(config.image_pull_backoff, longest),
            ),
            first_seen=now,
        )
        if pod is not None:
            self.state.report.status.CopyFrom(pod.status)
        images = ImageManager(self.state, deps, loop)
        self._volumes = PodVolumes(self.state, deps, loop)
        self._sandboxes = SandboxManager(self.state, deps, images, self._volumes)
        self._containers = ContainerManager(self.state, deps, images, self._volumes)

    @property
    def over(self) -> bool:
        """Nothing is left: neither the runtime nor the api-server has it."""
        state = self.state
        forgotten = state.pod is None or state.lifecycle.forgotten
        return forgotten and state.view.empty and state.runtime.current and not state.stops

    def reject(self, why: Waiting) -> None:
        """This node does not take the pod; nothing of it is ever made."""
        self.state.rejected = why
        self.state.lifecycle.terminate(Reason.REJECTED, self._deps.clock.time())

    def update(self, pod: core_pb2.Pod, *, gone: bool = False) -> None:
        """Take in the newest object; ``gone``: the api-server does not have it any more."""
        state = self.state
        if Reason.ORPHANED in state.lifecycle.reasons:
            return  # it goes as an orphan, and the manager begins anew with the object
        state.pod = pod
        if gone:
            state.lifecycle.terminate(Reason.GONE, self._deps.clock.time())

    def volumes_changed(self) -> None:
        """What a volume of the pod shows may be another now, or be there at last."""
        self._volumes.changed()
        failures = self.state.attempts.failures
        for name in [n for n, failure in failures.items() if failure.waiting == CREATING and n != planning.SANDBOX]:
            del failures[name]

    async def sync(self) -> None:
        """Bring the pod one step, or as many as can be made at once, towards what is wanted."""
        state = self.state
        revision = state.pod.metadata.resourceVersion if state.pod else ""
        with calls_for(state.ref), tracing.cause(revision):
            try:
                for _ in range(MAX_ROUNDS):
                    if not await self._round():
                        return
            except RuntimeUnavailable as err:
                state.runtime.unknown()
                raise errors.Unavailable(f"container runtime: {err}") from err
            except RuntimeFailure as err:
                raise errors.InternalError(f"container runtime: {err}") from err
        self._loop.wake(state.ref.uid, 0.0)  # still busy: let the others have a turn

    async def _round(self) -> bool:
        """Look, plan, tell, act; say whether anything was done."""
        state, now = self.state, self._deps.clock.time()
        if not state.runtime.current:
            await self._look()
        decided = self._decide(now)
        self._tell(decided, now)
        if state.lifecycle.phase is WorkerPhase.SYNC and state.view.running:
            await self._volumes.prepare()  # what they show is kept current
        if decided.wake_at is not None:
            self._loop.wake(state.ref.uid, max(decided.wake_at - now, 0.0))
        return await self._act(decided.actions)

    async def _look(self) -> None:
        cache, runtime, ref = self.state.runtime, self._deps.runtime, self.state.ref
        before, cache.freshness = cache.freshness, Freshness.CURRENT  # an event during the look asks for another one
        try:
            if before is Freshness.UNKNOWN:
                cache.view = await runtime.pod(ref, cache.view)
            else:
                cache.view = await runtime.pod_of(ref, [s.id for s in cache.view.sandboxes], cache.view)
        except BaseException:
            cache.unknown()
            raise

    def _decide(self, now: float) -> Plan:
        state, lifecycle, status = self.state, self.state.lifecycle, self.state.status
        history = PodHistory(
            state.attempts.crashes,
            state.attempts.failures,
            started_at=float(status.startTime.seconds) if status.HasField("startTime") else None,
            first_attempts={s.name: planning.first_attempt(s) for s in status.containerStatuses},
        )
        before = lifecycle.reasons
        deadline = planning.deadline(state.pod, history)
        lifecycle.observe(state.pod, state.view, now, computed_phase=status.phase, deadline=deadline)
        if state.pod is not None and Reason.FAILED in lifecycle.reasons - before:
            self._deps.events.failed(state.pod, DEADLINE_EXCEEDED)
        return planning.plan(lifecycle, state.pod, state.view, now, history)

    # --- telling

    def _tell(self, decided: Plan, now: float) -> None:
        state, report, deps = self.state, self.state.report, self._deps
        if state.pod is None or state.lifecycle.forgotten:
            return
        for name, held in decided.waiting.items():
            if report.waiting.get(name) != held:
                deps.events.held_up(state.pod, name, held)
        report.waiting = dict(decided.waiting)
        status = report.status = self._status(state.pod, decided, now)
        deps.statuses.set(state.pod, status)
        if not report.ready_once and status.containerStatuses and all(s.ready for s in status.containerStatuses):
            report.ready_once = True
            deps.metrics.pod_start_seconds.observe(max(now - state.first_seen, 0.0))

    def _status(self, pod: core_pb2.Pod, decided: Plan, now: float) -> core_pb2.PodStatus:
        state, deps = self.state, self._deps
        if state.rejected is not None:
            return rejected(pod, state.status, state.rejected, now)
        return compute(
            StatusInput(
                pod=pod,
                last=state.status,
                view=state.view,
                now=now,
                host_ip=deps.node.node_ip,
                runtime_name=deps.runtime.name,
                waiting=decided.waiting,
                failed=DEADLINE_EXCEEDED if Reason.FAILED in state.lifecycle.reasons else None,
            )
        )

    # --- acting

    async def _act(self, actions: tuple[Action, ...]) -> bool:
        done = False
        for action in actions:
            if isinstance(action, CreateSandbox):
                if not await self._sandboxes.create(action, actions):
                    return True
                done = True
            elif isinstance(action, StartContainer):
                done |= await self._containers.start(action)
            elif isinstance(action, StopContainer):
                self._stop(action)
            elif isinstance(action, Finish):
                await self._finish()
            else:
                await self._dispose(action)
                done = True
        return done

    async def _dispose(self, action: StopSandbox | RemoveSandbox | RemoveContainer) -> None:
        runtime = self._deps.runtime
        self.state.runtime.changed()
        match action:
            case StopSandbox():
                await runtime.stop_sandbox(action.id)
            case RemoveSandbox():
                await runtime.remove_sandbox(action.id)
            case RemoveContainer():
                await runtime.remove_container(action.id)
                if action.log_path:
                    await asyncio.to_thread(remove_log, Path(action.log_path))

    def _stop(self, action: StopContainer) -> None:
        """Begin to end a container, or hurry an end that is under way with more time than is left now."""
        state, deps = self.state, self._deps
        until = deps.clock.time() + action.grace
        under_way = state.stops.get(action.id)
        if under_way is not None:
            if until > under_way.until - 1.0:
                return
            under_way.task.cancel()
        elif state.pod is not None and action.message:
            deps.events.stopping(state.pod, action.name, action.message)
        task = self._loop.spawn(self._await_end(action), f"stop {action.name} of {state.ref.name}")
        state.stops[action.id] = StopUnderWay(until, task)

    async def _await_end(self, action: StopContainer) -> None:
        state, delay = self.state, 0.0
        try:
            await self._deps.runtime.stop_container(action.id, action.name, action.grace)
        except RuntimeFailure as err:
            self._deps.log.warning("container does not stop", pod=state.ref.name, container=action.name, error=str(err))
            delay = jittered(STOP_RETRY_SECONDS)
        finally:
            under_way = state.stops.get(action.id)
            if under_way is not None and under_way.task is asyncio.current_task():
                del state.stops[action.id]
            state.runtime.changed()
            self._loop.wake(state.ref.uid, delay)

    async def _finish(self) -> None:
        state, deps = self.state, self._deps
        pod = state.pod
        if pod is not None and not state.lifecycle.forgotten and deps.statuses.pending(state.ref.uid):
            # How it ended is written first; meanwhile this takes no worker.
            deps.statuses.when_written(state.ref.uid, lambda: self._loop.wake(state.ref.uid, 0.0))
            return
        if pod is None:
            directory = deps.node.log_root / f"{state.ref.namespace}_{state.ref.name}_{state.ref.uid}"
        else:
            directory = log_directory(deps.node.log_root, pod)
        try:
            await self._volumes.tear_down()
        except OSError as err:
            raise errors.InternalError(f"volumes are not torn down: {err}") from err
        await asyncio.to_thread(shutil.rmtree, directory, True)
        if pod is None or state.lifecycle.forgotten:
            return
        if state.deletion_sent == pod.metadata.resourceVersion:
            return  # a finalizer keeps the object: nothing changed since we asked
        state.deletion_sent = pod.metadata.resourceVersion
        meta = pod.metadata
        try:
            await deps.client.delete(PODS, meta.name, meta.namespace, grace_period_seconds=0, uid=meta.uid)
        except errors.NotFound:
            return
        except errors.Conflict:
            return  # another pod has its name by now
        except errors.ApiError:
            state.deletion_sent = ""
            raise
