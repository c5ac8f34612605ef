"""The scheduling loop.

Decisions are serial: one pod is popped, decided on, assumed to be on its node and reserved for before the next is
looked at. Bindings run beside them, at most ``parallel_bindings`` at once; a slot must be free before a pod is popped,
so a slow api-server slows the loop down and nothing piles up. A pod that waits for a Permit plugin has no slot until it
may be bound. The task group of ``run`` owns the bindings; when it is cancelled (the lease was lost, or the process
stops) every unfinished binding gives its pod back to the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import Conflict, NotFound
from kubelab.client import runtimeerrors
from kubelab.client.events import EventKind, EventRecorder
from kubelab.rpc import tracing
from kubelab.scheduler import clusterevents
from kubelab.scheduler.algorithm import Algorithm, FitError, ScheduleResult, rejected_by
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.framework import CycleState, Nomination, PluginError, Rejection
from kubelab.scheduler.metrics import SchedulerMetrics
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.podcondition import PodConditionUpdater
from kubelab.scheduler.preemptor import Preemptor
from kubelab.scheduler.profile import Framework
from kubelab.scheduler.queue import QueuedPod, SchedulingQueue
from kubelab.scheduler.waitingpods import WaitingPod, WaitingPods

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


@dataclass(slots=True)
class _Assumed:
    """A pod that counts to its node already, and its cycle. ``open`` until it is bound or taken back."""

    queued: QueuedPod
    pod: PodInfo
    framework: Framework
    state: CycleState
    result: ScheduleResult
    open: bool = True


@dataclass(slots=True)
class _FollowUp:
    """What a decision leaves to do beside the next ones: a binding (``assumed``), or a condition to write."""

    work: Coroutine[None, None, None]
    assumed: _Assumed | None = None
    waits: bool = False


class _Slots:
    """So many bindings at once. The loop only waits until one is free and takes it when there is something to bind:
    it must hold none while the queue is empty, for pods that waited on a permit need them too."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._released = asyncio.Event()

    async def wait(self) -> None:
        """Return when a slot is free."""
        while self._free <= 0:
            self._released.clear()
            await self._released.wait()

    def take(self) -> None:
        """Take a slot; one that :meth:`wait` found free may have been taken since, and is then one more."""
        self._free -= 1

    def release(self) -> None:
        """Give a slot back."""
        self._free += 1
        self._released.set()


class Scheduler:
    """Gives every pod of the queue a node."""

    def __init__(
        self,
        *,
        queue: SchedulingQueue,
        cache: Cache,
        algorithm: Algorithm,
        frameworks: Mapping[str, Framework],
        waiting: WaitingPods,
        recorders: Mapping[str, EventRecorder],
        conditions: PodConditionUpdater,
        preemptor: Preemptor,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: SchedulerMetrics,
        parallel_bindings: int = 64,
        assumed_pod_ttl: float = 0.0,
    ) -> None:
        self._queue, self._cache, self._algorithm = queue, cache, algorithm
        self._frameworks, self._recorders = frameworks, recorders  # by schedulerName
        self._waiting, self._conditions, self._preemptor = waiting, conditions, preemptor
        self._clock, self._log, self._metrics = clock, log, metrics
        self._parallel_bindings, self._assumed_pod_ttl = parallel_bindings, assumed_pod_ttl

    async def run(self) -> None:
        """Schedule until cancelled. The caches must have synced."""
        slots = _Slots(self._parallel_bindings)
        async with asyncio.TaskGroup() as group:
            while True:
                await slots.wait()
                queued = await self._queue.pop()
                follow_up = self._cycle(queued, slots)
                if follow_up is not None:
                    if not follow_up.waits:
                        slots.take()
                    task = group.create_task(follow_up.work, name=f"bind-{queued.pod.key}")
                    task.add_done_callback(partial(self._landed, slots, follow_up))
                await asyncio.sleep(0)  # let watches and bindings in between two decisions

    def _landed(self, slots: _Slots, follow_up: _FollowUp, task: asyncio.Task[None]) -> None:
        if not follow_up.waits:
            slots.release()
        if task.cancelled() and follow_up.assumed is not None:  # perhaps before its first step: nothing ran
            self._give_back(follow_up.assumed)

    # --- the scheduling cycle

    def _cycle(self, queued: QueuedPod, slots: _Slots) -> _FollowUp | None:
        """Decide on one pod and reserve for it; return what is left to tell the api-server."""
        pod = queued.pod
        if pod.terminating:
            self._queue.done(queued)
            message = f"skip schedule deleting pod: {pod.key}"
            self._event(pod, "Warning", "FailedScheduling", message)
            return None
        began = self._clock.monotonic()
        for lost in self._cache.expire(began):
            self._log.warning("a bound pod was never seen, its room is free again", pod=lost.key)
            self._queue.move(clusterevents.POD_GONE)
        state = CycleState()
        try:
            framework = self._frameworks[pod.pod.spec.schedulerName]
            decision = self._algorithm.decide(framework, pod, self._cache, state)
        except Exception:  # noqa: BLE001 — a bug: one poisonous pod must not stop the others
            self._queue.back_off(queued)
            runtimeerrors.handle_error(self._log, "decide", pod.key)
            return None
        self._metrics.decision_seconds.observe(self._clock.monotonic() - began)
        if isinstance(decision, FitError):
            return _FollowUp(self._give_up(queued, decision))
        self._cache.assume(pod, decision.node)
        return self._reserve(_Assumed(queued, pod, framework, state, decision), slots)

    def _reserve(self, assumed: _Assumed, slots: _Slots) -> _FollowUp | None:
        """Run Reserve and Permit for the chosen node."""
        framework, pod, node = assumed.framework, assumed.pod, assumed.result.node
        try:
            answer = framework.reserve(assumed.state, pod, node) or framework.permit(assumed.state, pod, node)
        except Exception:  # noqa: BLE001 — a plugin's bug
            self._give_back(assumed)
            runtimeerrors.handle_error(self._log, "reserve", pod.key)
            return None
        if isinstance(answer, Rejection):
            self._undo(assumed)
            return _FollowUp(self._give_up(assumed.queued, rejected_by(answer)))
        if answer:
            waiting = self._waiting.add(pod, node, answer)
            self._log.debug("waiting on permit", pod=pod.key, node=node, plugins=[*answer])
            return _FollowUp(self._wait_and_bind(assumed, waiting, slots), assumed, waits=True)
        return _FollowUp(self._bind(assumed), assumed)

    def _give_up(self, queued: QueuedPod, error: FitError) -> Coroutine[None, None, None]:
        """Let a pod wait for an event; return what writes the condition."""
        self._metrics.attempts.labels("unschedulable").inc()
        self._log.info("no node fits", pod=queued.pod.key, why=error.message)
        self._queue.reject(queued, error.retry_on)
        self._event(queued.pod, "Warning", "FailedScheduling", error.message)
        nomination = error.nomination
        if nomination is not None and not nomination.node:
            self._cache.unnominate(queued.pod.uid)
        elif nomination is not None:
            return self._preempt(queued.pod, error.message, nomination)
        nominated = "" if nomination is not None else None
        return self._conditions.not_scheduled(queued.pod, "Unschedulable", error.message, nominated)

    def _preempt(self, pod: PodInfo, message: str, nomination: Nomination) -> Coroutine[None, None, None]:
        """Keep the node's room for a pod from now on; return what takes the victims away and tells of it.

        Pods of lower priority that wait for room on the same node lose it: they are looked at anew.
        """
        node = nomination.node
        lower = [other for other in self._cache.nominated_on(node) if other.priority < pod.priority]
        for other in lower:
            self._cache.unnominate(other.uid)
        self._cache.nominate(pod, node)

        async def work() -> None:
            recorder = self._recorders[pod.pod.spec.schedulerName]
            await self._preemptor.make_room(pod, node, nomination.victims, recorder)
            await self._conditions.not_scheduled(pod, "Unschedulable", message, node)
            for other in lower:
                await self._conditions.clear_nomination(other)

        return work()

    # --- the binding cycle

    async def _wait_and_bind(self, assumed: _Assumed, waiting: WaitingPod, slots: _Slots) -> None:
        rejection = await waiting.wait()
        self._waiting.remove(assumed.pod.uid)
        await slots.wait()
        slots.take()
        try:
            if rejection is not None:
                await self._not_bound(assumed, rejection)
            else:
                await self._bind(assumed)
        finally:
            slots.release()

    async def _bind(self, assumed: _Assumed) -> None:
        framework, pod, node = assumed.framework, assumed.pod, assumed.result.node
        began = self._clock.monotonic()
        try:
            with tracing.root(), tracing.cause(pod.pod.metadata.resourceVersion):
                failure = await framework.pre_bind(assumed.state, pod, node) if framework.pre_binds else None
                if failure is None:
                    failure = await framework.bind(assumed.state, pod, node)
        except Exception:  # noqa: BLE001 — a plugin's bug
            self._give_back(assumed)
            runtimeerrors.handle_error(self._log, "bind", pod.key)
            return
        if failure is None:
            self._bound(assumed, began)
        else:
            await self._not_bound(assumed, failure)

    def _bound(self, assumed: _Assumed, began: float) -> None:
        pod, queued, node = assumed.pod, assumed.queued, assumed.result.node
        assumed.open = False
        now = self._clock.monotonic()
        if self._assumed_pod_ttl:
            self._cache.binding_finished(pod.uid, now + self._assumed_pod_ttl)
        self._queue.done(queued)
        self._metrics.attempts.labels("scheduled").inc()
        self._metrics.binding_seconds.observe(now - began)
        self._metrics.queued_seconds.observe(now - queued.first_added)
        self._log.debug("bound", pod=pod.key, node=node, evaluated=assumed.result.evaluated)
        self._event(pod, "Normal", "Scheduled", f"Successfully assigned {pod.key} to {node}")
        for plugin in assumed.framework.post_binds:
            try:
                plugin.post_bind(assumed.state, pod, node)
            except Exception:  # noqa: BLE001 — a plugin's bug
                runtimeerrors.handle_error(self._log, f"post bind of {plugin.name}", pod.key)

    async def _not_bound(self, assumed: _Assumed, failure: Rejection | PluginError) -> None:
        """Free the room of a pod that was not bound, and have it tried again: at the events of a rejection, after its
        back-off where a plugin failed. Where it is unknown whether the pod was bound, the watch will tell; a second
        binding of a bound pod is refused by the api-server, so trying again is safe."""
        pod, queued = assumed.pod, assumed.queued
        if isinstance(failure, Rejection):
            self._undo(assumed)
            self._queue.move(clusterevents.POD_GONE)  # for the others: this pod is not in their place yet
            if self._queue.holds(pod.uid):
                await self._give_up(queued, rejected_by(failure))
            return
        if failure.point == "Bind" and isinstance(failure.error, NotFound):
            self._queue.done(queued)  # the pod is gone
            self._give_back(assumed)
            return
        self._give_back(assumed)
        self._metrics.attempts.labels("error").inc()
        reason, plugin = failure.error.reason, failure.plugin
        self._log.warning(
            "binding failed, will retry", pod=pod.key, node=assumed.result.node, plugin=plugin, reason=reason
        )
        if failure.point == "Bind" and isinstance(failure.error, Conflict):
            return  # another scheduler was quicker: no event
        message = f"binding rejected: {failure.message}" if failure.point == "Bind" else failure.message
        self._event(pod, "Warning", "FailedScheduling", message)
        await self._conditions.not_scheduled(pod, "SchedulerError", message)

    def _give_back(self, assumed: _Assumed) -> None:
        """Free the room of a pod that was not bound, and try it again after its back-off."""
        if assumed.open:
            self._undo(assumed)
            self._queue.back_off(assumed.queued)  # nothing to do where the queue has let go of it already
            self._queue.move(clusterevents.POD_GONE)

    def _undo(self, assumed: _Assumed) -> None:
        """Take an assumption back: Unreserve in reverse order, then the cache."""
        assumed.open = False
        for plugin in reversed(assumed.framework.reserves):
            try:
                plugin.unreserve(assumed.state, assumed.pod, assumed.result.node)
            except Exception:  # noqa: BLE001 — a plugin's bug must not keep what the others reserved
                runtimeerrors.handle_error(self._log, f"unreserve of {plugin.name}", assumed.pod.key)
        self._waiting.remove(assumed.pod.uid)
        self._cache.forget(assumed.pod.uid)

    def _event(self, pod: PodInfo, type: EventKind, reason: str, message: str) -> None:
        self._recorders[pod.pod.spec.schedulerName].event(pod.pod, type, reason, message)
