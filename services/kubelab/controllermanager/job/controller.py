"""Run the pods of every Job until enough of them ended well.

Different Jobs are synced in parallel, one Job never twice at once. What was written is awaited in the cache before the
next decision. An ended pod keeps a finalizer until it is counted (:mod:`kubelab.controllermanager.job.tracking`), so
that none is counted twice or lost wherever this process stops.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labelselectors, timestamps
from kubelab.apimachinery.batch.jobs import COMPLETE, TRACKING, finished
from kubelab.apimachinery.core.pods import is_active
from kubelab.apimachinery.errors import ApiError, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import get_controller_of, is_terminating
from kubelab.apimachinery.scheme import JOBS, PODS
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.controllerrefs import ControllerRefManager
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.gather import gather_limited
from kubelab.controllermanager.indexes import BY_CONTROLLER, BY_SELECTOR, label_selecting, selector_keys
from kubelab.controllermanager.job import decide, tracking
from kubelab.controllermanager.job.backoff import BackoffRecord
from kubelab.controllermanager.job.decide import Ending
from kubelab.controllermanager.job.pods import ended_at, is_tracked
from kubelab.controllermanager.job.view import JobView, view
from kubelab.controllermanager.podcontrol import PodControl
from kubelab.rpc import tracing

KIND = JOBS.kind
CONTROLLER_NAME = "kubernetes.io/job-controller"
_ORPHAN = "orphan:"  # before the key of a pod whose Job is gone, in the queue of Jobs


class JobController(Reconciler[str]):
    """Own the pods of every Job."""

    name = "job"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("job-controller")
        self._jobs, self._pods = context.informers.of(JOBS), context.informers.of(PODS)
        self._jobs.add_indexers({BY_SELECTOR: selector_keys})
        self._expectations = Expectations(self._pods, context.clock)
        self._status_expectations = Expectations(self._jobs, context.clock)
        self._pod_control = PodControl(self._client, self._recorder, self._expectations)
        self._refs = ControllerRefManager(self._client, JOBS, self._pods, self._write_claimed, is_active)
        self._backoff: dict[str, BackoffRecord] = {}  # by uid
        self._jobs.add_handler(on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new), on_delete=self._gone)
        self._pods.add_handler(on_add=self._pod_changed, on_update=self._pod_updated, on_delete=self._pod_changed)

    def enqueue_all(self) -> None:
        """Look at every Job, and at every pod that waits for a Job to count it."""
        for job in self._jobs.list():
            self._enqueue(job)
        for pod in self._pods.list():
            if is_tracked(pod):
                self._pod_changed(pod)

    def _enqueue(self, job: batch_pb2.Job) -> None:
        self._queue.add(key_of(job))

    def _gone(self, job: batch_pb2.Job) -> None:
        self._backoff.pop(job.metadata.uid, None)
        self._enqueue(job)
        for pod in self._pods.by_index(BY_CONTROLLER, job.metadata.uid):
            self._pod_changed(pod)

    def _pod_changed(self, pod: core_pb2.Pod) -> None:
        namespace, owner = pod.metadata.namespace, get_controller_of(pod)
        if owner is None:
            self._orphan_changed(pod)
        elif owner.kind == KIND:
            job = self._jobs.get(f"{namespace}/{owner.name}")
            if job is not None and job.metadata.uid == owner.uid:
                self._enqueue(job)
            elif is_tracked(pod):
                self._queue.add(_ORPHAN + key_of(pod))

    def _orphan_changed(self, pod: core_pb2.Pod) -> None:
        """Enqueue the Jobs that may adopt a pod, and the pod itself where it still waits for a Job that let it go."""
        for job in label_selecting(self._jobs, pod):
            self._enqueue(job)
        if is_tracked(pod):
            self._queue.add(_ORPHAN + key_of(pod))

    def _pod_updated(self, old: core_pb2.Pod, new: core_pb2.Pod) -> None:
        if get_controller_of(old) != get_controller_of(new):
            self._pod_changed(old)
        self._pod_changed(new)

    async def sync(self, key: str) -> None:
        """Bring one Job towards its end, or let go one pod whose Job is gone."""
        if key.startswith(_ORPHAN):
            await self._let_orphan_go(key)
            return
        job = self._jobs.get(key)
        if job is None:
            self._expectations.forget(key)
            self._status_expectations.forget(key)
            return
        if job.spec.HasField("managedBy") and job.spec.managedBy != CONTROLLER_NAME:
            return  # another controller's
        if not (self._expectations.satisfied(key) and self._status_expectations.satisfied(key)):
            self._queue.add_after(key, LOOK_AGAIN)  # the awaited events bring the key back sooner
            return
        with tracing.cause(job.metadata.resourceVersion):
            if finished(job) is not None:
                await self._let_go(key, [pod for pod in self._pods_of(job) if is_tracked(pod)])
            else:
                await self._work(key, job)

    async def _write_claimed(self, key: str, pod: core_pb2.Pod) -> bool:
        """Write a pod that was adopted, with the finalizer until it is counted, or released."""
        if get_controller_of(pod) is not None and not is_tracked(pod):
            pod.metadata.finalizers.append(TRACKING)
        return await self._pod_control.update(key, pod)

    def _pods_of(self, job: batch_pb2.Job) -> Sequence[core_pb2.Pod]:
        return self._pods.by_index(BY_CONTROLLER, job.metadata.uid)

    async def _work(self, key: str, job: batch_pb2.Job) -> None:
        now = self._clock.time()
        pods = await self._refs.claim(key, job, labelselectors.of_stored(job.spec.selector).matches)
        status = batch_pb2.JobStatus()
        status.CopyFrom(job.status)
        if not status.HasField("startTime") and not job.spec.suspend:
            status.startTime.CopyFrom(timestamps.to_time(now))
        seen = view(job, pods)
        record = self._backoff.get(job.metadata.uid, BackoffRecord()).after(
            [ended_at(pod, now) for pod in seen.new_succeeded], [ended_at(pod, now) for pod in seen.new_failed]
        )
        ending = decide.ending(seen, now)
        active, failure = len(seen.active), None
        if ending is not None:
            failure = await self._pod_control.delete_all(key, job, seen.active)
            active = 0 if failure is None else active
        elif not is_terminating(job):
            active, failure = await self._manage(key, seen, record, now)
        if ending is None and failure is None:
            ending = decide.completed(seen, active)
        status.active, status.ready = active, seen.ready
        status.terminating = seen.terminating + (len(seen.active) if ending is not None and failure is None else 0)
        event = tracking.suspend(status, job.spec.suspend, now) if ending is None else None
        await self._track(key, seen, status, ending, record)
        if event is not None:
            self._recorder.event(job, "Normal", *event)
        if (left := decide.deadline_in(job, now)) is not None and left > 0:
            self._queue.add_after(key, left)
        if failure is not None:
            raise failure  # the queue retries the key

    async def _manage(self, key: str, seen: JobView, record: BackoffRecord, now: float) -> tuple[int, ApiError | None]:
        """Create or delete pods; return how many are active then, and why not all of it could be done."""
        todo, active = decide.plan(seen, record, now), len(seen.active)
        if todo.look_again is not None:
            self._queue.add_after(key, todo.look_again)
        if todo.delete:
            await self._let_go(key, todo.delete)  # what the Job itself takes away is no failure
            failure = await self._pod_control.delete_all(key, seen.job, todo.delete)
            return active - (len(todo.delete) if failure is None else 0), failure
        failure = await self._pod_control.create_all(key, seen.job, todo.create)
        return active + (len(todo.create) if failure is None else 0), failure

    async def _track(
        self, key: str, seen: JobView, status: batch_pb2.JobStatus, ending: Ending | None, record: BackoffRecord
    ) -> None:
        """Write the status, let the counted pods go, and write what follows from that."""
        now, job = self._clock.time(), deep_copy(seen.job)
        released = tracking.release(seen, status, ending=ending is not None)
        if ending is not None:
            tracking.announce(status, ending, now)
        job = await self._write(key, job, status)
        if job is None:
            return
        self._backoff[job.metadata.uid] = record
        await self._let_go(key, released)
        tracked = tracking.uids(seen.pods) - tracking.uids(released)
        status.CopyFrom(job.status)
        tracking.count(status, tracked)
        ended = tracking.finish(status, ending, status.terminating, now) if ending is not None else None
        job = await self._write(key, job, status)
        if job is None or ended is None:
            return
        self._backoff.pop(job.metadata.uid, None)
        if ended.type == COMPLETE:
            self._recorder.event(job, "Normal", "Completed", "Job completed")
        else:
            self._recorder.event(job, "Warning", ended.reason, ended.message)

    async def _write(self, key: str, job: batch_pb2.Job, status: batch_pb2.JobStatus) -> batch_pb2.Job | None:
        """Store a status that is new, and return the Job with it; None when the Job is gone. Raises Conflict."""
        if status == job.status:
            return job
        job.status.CopyFrom(status)
        try:
            written = await self._client.update_status(job)
        except NotFound:
            return None
        self._status_expectations.created(key, written)
        return written

    async def _let_go(self, key: str, pods: Sequence[core_pb2.Pod]) -> None:
        """Take the finalizer off pods. Raises ApiError: another sync takes it off the rest."""

        async def one(pod: core_pb2.Pod) -> None:
            await self._pod_control.update(key, _without_tracking(pod))

        await gather_limited(one(pod) for pod in pods if is_tracked(pod))

    async def _let_orphan_go(self, key: str) -> None:
        pod = self._pods.get(key.removeprefix(_ORPHAN))
        if pod is None or not is_tracked(pod):
            return
        owner = get_controller_of(pod)
        if owner is not None:
            try:
                live = await self._client.get(JOBS, owner.name, pod.metadata.namespace)
            except NotFound:
                live = None
            if live is not None and live.metadata.uid == owner.uid:
                return  # its Job counts it
        try:
            await self._client.update(_without_tracking(pod))
        except NotFound:
            return


def _without_tracking(pod: core_pb2.Pod) -> core_pb2.Pod:
    changed = deep_copy(pod)
    kept = [name for name in pod.metadata.finalizers if name != TRACKING]
    del changed.metadata.finalizers[:]
    changed.metadata.finalizers.extend(kept)
    return changed
