"""The scheduling loop.

Decisions are serial: one pod is popped, decided on and assumed to be on its node before the next is looked at. Bindings
run beside them, at most ``parallel_bindings`` at once; a slot is taken before a pod is popped, so a slow api-server
slows the loop down and nothing piles up. The task group of ``run`` owns the bindings; when it is cancelled (the lease
was lost, or the process stops) every unfinished binding gives its pod back to the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.core.conditions import FALSE, set_condition
from kubelab.apimachinery.core.pods import POD_SCHEDULED
from kubelab.apimachinery.errors import ApiError, Conflict, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import PODS
from kubelab.client import runtimeerrors
from kubelab.client.client import Client
from kubelab.client.events import EventKind, EventRecorder
from kubelab.rpc import tracing
from kubelab.scheduler import clusterevents
from kubelab.scheduler.algorithm import Algorithm, FitError, ScheduleResult
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.metrics import SchedulerMetrics
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.profile import Framework
from kubelab.scheduler.queue import Place, QueuedPod, SchedulingQueue

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

STATUS_TRIES = 5


class Scheduler:
    """Gives every pod of the queue a node."""

    def __init__(
        self,
        *,
        client: Client,
        queue: SchedulingQueue,
        cache: Cache,
        algorithm: Algorithm,
        frameworks: Mapping[str, Framework],
        recorders: Mapping[str, EventRecorder],
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: SchedulerMetrics,
        parallel_bindings: int = 64,
        assumed_pod_ttl: float = 0.0,
    ) -> None:
        self._client, self._queue, self._cache, self._algorithm = client, queue, cache, algorithm
        self._frameworks, self._recorders = frameworks, recorders  # by schedulerName
        self._clock, self._log, self._metrics = clock, log, metrics
        self._parallel_bindings, self._assumed_pod_ttl = parallel_bindings, assumed_pod_ttl

    async def run(self) -> None:
        """Schedule until cancelled. The caches must have synced."""
        slots = asyncio.Semaphore(self._parallel_bindings)
        async with asyncio.TaskGroup() as group:
            while True:
                await slots.acquire()
                queued = await self._queue.pop()
                follow_up = self._cycle(queued)
                if follow_up is None:
                    slots.release()
                else:
                    task = group.create_task(follow_up, name=f"bind-{queued.pod.key}")
                    task.add_done_callback(partial(self._landed, slots, queued))
                await asyncio.sleep(0)  # let watches and bindings in between two decisions

    def _landed(self, slots: asyncio.Semaphore, queued: QueuedPod, task: asyncio.Task[None]) -> None:
        slots.release()
        if task.cancelled() and queued.place is Place.IN_FLIGHT:  # perhaps before its first step: nothing ran
            self._cache.forget(queued.pod.uid)
            self._queue.back_off(queued)

    def _cycle(self, queued: QueuedPod) -> Coroutine[None, None, None] | None:
        """Decide on one pod; return what is left to tell the api-server, to be run beside the next decision."""
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
        try:
            decision = self._algorithm.decide(self._frameworks[pod.pod.spec.schedulerName], pod, self._cache)
        except Exception:  # noqa: BLE001 — a bug: one poisonous pod must not stop the others
            self._queue.back_off(queued)
            runtimeerrors.handle_error(self._log, "decide", pod.key)
            return None
        self._metrics.decision_seconds.observe(self._clock.monotonic() - began)
        if isinstance(decision, FitError):
            return self._give_up(queued, decision)
        self._cache.assume(pod, decision.node)
        return self._bind(queued, decision)

    def _give_up(self, queued: QueuedPod, decision: FitError) -> Coroutine[None, None, None]:
        self._metrics.attempts.labels("unschedulable").inc()
        self._log.info("no node fits", pod=queued.pod.key, why=decision.message)
        self._queue.reject(queued, decision.retry_on)
        self._event(queued.pod, "Warning", "FailedScheduling", decision.message)
        return self._tell(queued.pod, "Unschedulable", decision.message)

    async def _bind(self, queued: QueuedPod, placement: ScheduleResult) -> None:
        pod, bound = queued.pod, False
        binding = core_pb2.Binding(target=core_pb2.ObjectReference(kind="Node", name=placement.node))
        binding.metadata.namespace, binding.metadata.name, binding.metadata.uid = pod.namespace, pod.name, pod.uid
        began = self._clock.monotonic()
        try:
            with tracing.root(), tracing.cause(pod.pod.metadata.resourceVersion):
                await self._client.bind(binding)
            bound = True
        except NotFound:
            self._queue.done(queued)
        except ApiError as err:
            await self._failed(queued, placement, err)
        finally:
            if not bound:
                self._cache.forget(pod.uid)
                self._queue.back_off(queued)  # nothing to do where the queue has let go of it already
                self._queue.move(clusterevents.POD_GONE)  # the room that it had taken is free again
        if bound:
            now = self._clock.monotonic()
            if self._assumed_pod_ttl:
                self._cache.binding_finished(pod.uid, now + self._assumed_pod_ttl)
            self._queue.done(queued)
            self._metrics.attempts.labels("scheduled").inc()
            self._metrics.binding_seconds.observe(now - began)
            self._metrics.queued_seconds.observe(now - queued.first_added)
            self._log.debug("bound", pod=pod.key, node=placement.node, evaluated=placement.evaluated)
            message = f"Successfully assigned {pod.key} to {placement.node}"
            self._event(pod, "Normal", "Scheduled", message)

    async def _failed(self, queued: QueuedPod, placement: ScheduleResult, err: ApiError) -> None:
        """Say that a binding failed. Where it is unknown whether it was done, the watch will tell; a second binding
        of a bound pod is refused by the api-server, so trying again is safe."""
        pod = queued.pod
        self._cache.forget(pod.uid)
        self._metrics.attempts.labels("error").inc()
        self._log.warning("binding failed, will retry", pod=pod.key, node=placement.node, reason=err.reason)
        if isinstance(err, Conflict):
            return  # somebody else was quicker, which is no news for the pod's reader
        message = f'binding rejected: running Bind plugin "DefaultBinder": {err.message}'
        self._event(pod, "Warning", "FailedScheduling", message)
        await self._tell(pod, "SchedulerError", message)

    def _event(self, pod: PodInfo, type: EventKind, reason: str, message: str) -> None:
        self._recorders[pod.pod.spec.schedulerName].event(pod.pod, type, reason, message)

    async def _tell(self, pod: PodInfo, reason: str, message: str) -> None:
        """Write PodScheduled=False, unless it says so already or the pod has moved on."""
        current = pod.pod
        for _ in range(STATUS_TRIES):
            if current.spec.nodeName or current.metadata.uid != pod.uid:
                return
            changed, now = deep_copy(current), self._clock.time()
            conditions = changed.status.conditions
            if not set_condition(conditions, POD_SCHEDULED, FALSE, now, reason=reason, message=message):
                return
            try:
                with tracing.root(), tracing.cause(current.metadata.resourceVersion):
                    await self._client.update_status(changed)
                    return
            except NotFound:
                return
            except Conflict:
                pass  # read it again
            except ApiError as err:
                self._log.warning("could not write the condition", pod=pod.key, reason=err.reason)
                return  # the next attempt at the pod writes it
            try:
                current = await self._client.get(PODS, pod.name, pod.namespace)
            except ApiError as err:
                self._log.info("could not read the pod again", pod=pod.key, reason=err.reason)
                return
