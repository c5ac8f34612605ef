"""Make a Job at every time of each CronJob's schedule, and delete the ended ones that the history does not keep.

After upstream's ``syncCronJob`` (``pkg/controller/cronjob/cronjob_controllerv2.go``). A Job is named after its time, so
that a controller that stopped between making it and noting it makes no second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import timestamps
from kubelab.apimachinery.batch import schedules
from kubelab.apimachinery.batch.jobs import COMPLETE, finished
from kubelab.apimachinery.errors import NAMESPACE_TERMINATING, AlreadyExists, ApiError, NotFound, has_cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import get_controller_of, is_controlled_by, is_terminating
from kubelab.apimachinery.scheme import CRON_JOBS, JOBS
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.cronjob import decide
from kubelab.controllermanager.cronjob.schedule import next_after, zone_of
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.indexes import BY_CONTROLLER, controller_uid
from kubelab.rpc import tracing

KIND = CRON_JOBS.kind
_LATER = 0.1  # seconds after a time: timers are not exact


class CronJobController(Reconciler[str]):
    """Own the Jobs of every CronJob."""

    name = "cronjob"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("cronjob-controller")
        self._cron_jobs, self._jobs = context.informers.of(CRON_JOBS), context.informers.of(JOBS)
        self._jobs.add_indexers({BY_CONTROLLER: controller_uid})
        self._written = Expectations(self._cron_jobs, context.clock)
        self._made = Expectations(self._jobs, context.clock)
        self._cron_jobs.add_handler(
            on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new), on_delete=self._enqueue
        )
        self._jobs.add_handler(
            on_add=self._job_changed, on_update=lambda _, new: self._job_changed(new), on_delete=self._job_changed
        )

    def enqueue_all(self) -> None:
        """Look at every CronJob."""
        for cron_job in self._cron_jobs.list():
            self._enqueue(cron_job)

    def _enqueue(self, cron_job: batch_pb2.CronJob) -> None:
        self._queue.add(key_of(cron_job))

    def _job_changed(self, job: batch_pb2.Job) -> None:
        owner = get_controller_of(job)
        if owner is not None and owner.kind == KIND:
            self._queue.add(f"{job.metadata.namespace}/{owner.name}")

    async def sync(self, key: str) -> None:
        """Bring one CronJob up to its schedule."""
        cron_job = self._cron_jobs.get(key)
        if cron_job is None:
            self._written.forget(key)
            self._made.forget(key)
            return
        if not (self._written.satisfied(key) and self._made.satisfied(key)):
            self._queue.add_after(key, LOOK_AGAIN)
            return
        with tracing.cause(cron_job.metadata.resourceVersion):
            changed = deep_copy(cron_job)
            jobs = self._jobs.by_index(BY_CONTROLLER, cron_job.metadata.uid)
            self._take_note(changed, jobs)
            if not is_terminating(cron_job):
                await self._start(key, changed)
                await self._clean_up(key, changed, jobs)
            if changed.status != cron_job.status:
                try:
                    self._written.created(key, await self._client.update_status(changed))
                except NotFound:
                    return

    def _take_note(self, cron_job: batch_pb2.CronJob, jobs: Sequence[batch_pb2.Job]) -> None:
        """Take Jobs that ended, or are gone, from the active ones, and note the last success."""
        status = cron_job.status
        active = {ref.uid: ref for ref in status.active}
        for job in jobs:
            end = finished(job)
            if end is None:
                if job.metadata.uid not in active:
                    told = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
                    self._recorder.event(cron_job, "Warning", "UnexpectedJob", told)
                continue
            if active.pop(job.metadata.uid, None) is not None:
                told = f"Saw completed job: {job.metadata.name}, condition: {end.type}"
                self._recorder.event(cron_job, "Normal", "SawCompletedJob", told)
            if end.type == COMPLETE and job.status.completionTime.seconds > status.lastSuccessfulTime.seconds:
                status.lastSuccessfulTime.CopyFrom(job.status.completionTime)
        there = {job.metadata.uid for job in jobs}
        for ref in [*active.values()]:
            if ref.uid not in there:
                del active[ref.uid]
                self._recorder.event(cron_job, "Normal", "MissingJob", f"Active job went missing: {ref.name}")
        kept = [ref for ref in status.active if ref.uid in active]
        del status.active[:]
        status.active.extend(kept)

    async def _start(self, key: str, cron_job: batch_pb2.CronJob) -> None:
        """Make the Job of the last time that has come, unless it is late or not wanted; come back at the next time."""
        spec, now = cron_job.spec, self._clock.time()
        try:
            zone = zone_of(spec.timeZone)
        except ValueError as err:
            self._recorder.event(cron_job, "Warning", "UnknownTimeZone", f'invalid timeZone: "{spec.timeZone}": {err}')
            return
        if spec.suspend:
            return
        try:
            schedule = schedules.parse(spec.schedule)
        except ValueError as err:
            told = f"unparseable schedule: {spec.schedule} : {err}"
            self._recorder.event(cron_job, "Warning", "UnparseableSchedule", told)
            return

        def following(after: float) -> float | None:
            return next_after(schedule, after, zone)

        due = decide.due(cron_job, following, now)
        if due.next is not None:
            self._queue.add_after(key, due.next - now + _LATER)
        if due.missed > decide.MANY:
            told = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._recorder.event(cron_job, "Warning", "TooManyMissedTimes", told)
        if due.last is None:
            return
        if any(ref.name == decide.job_name(cron_job, due.last) for ref in cron_job.status.active):
            return
        if cron_job.status.active and spec.concurrencyPolicy == "Forbid":
            told = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._recorder.event(cron_job, "Normal", "JobAlreadyActive", told)
            return
        if spec.concurrencyPolicy == "Replace":
            await self._replace(key, cron_job)
        stamp = datetime.fromtimestamp(due.last, zone).isoformat().replace("+00:00", "Z")
        await self._create(key, cron_job, decide.make_job(cron_job, due.last, stamp), due.last)

    async def _replace(self, key: str, cron_job: batch_pb2.CronJob) -> None:
        for ref in [*cron_job.status.active]:
            job = self._jobs.get(f"{cron_job.metadata.namespace}/{ref.name}")
            if job is not None and job.metadata.uid == ref.uid:
                await self._delete(key, cron_job, job)
        del cron_job.status.active[:]

    async def _create(self, key: str, cron_job: batch_pb2.CronJob, job: batch_pb2.Job, scheduled: float) -> None:
        try:
            made = await self._client.create(job)
        except AlreadyExists as err:
            made = await self._client.get(JOBS, job.metadata.name, job.metadata.namespace)
            if not is_controlled_by(made, cron_job):
                self._recorder.event(cron_job, "Warning", "FailedCreate", f"Error creating job: {err.message}")
                raise
            if finished(made) is not None:
                cron_job.status.lastScheduleTime.CopyFrom(timestamps.to_time(scheduled))
                return
        except ApiError as err:
            if has_cause(err, NAMESPACE_TERMINATING):
                return
            self._recorder.event(cron_job, "Warning", "FailedCreate", f"Error creating job: {err.message}")
            raise
        else:
            self._made.created(key, made)
            self._recorder.event(cron_job, "Normal", "SuccessfulCreate", f"Created job {made.metadata.name}")
        cron_job.status.active.append(_reference(made))
        cron_job.status.lastScheduleTime.CopyFrom(timestamps.to_time(scheduled))

    async def _clean_up(self, key: str, cron_job: batch_pb2.CronJob, jobs: Sequence[batch_pb2.Job]) -> None:
        for job in decide.beyond_history(cron_job, [job for job in jobs if not is_terminating(job)]):
            await self._delete(key, cron_job, job)

    async def _delete(self, key: str, cron_job: batch_pb2.CronJob, job: batch_pb2.Job) -> None:
        meta = job.metadata
        try:
            await self._client.delete(JOBS, meta.name, meta.namespace, uid=meta.uid, propagation_policy="Background")
        except NotFound:
            return
        except ApiError as err:
            self._recorder.event(cron_job, "Warning", "FailedDelete", f"Deleted job: {err.message}")
            raise
        self._made.deleted(key, job)
        self._recorder.event(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {meta.name}")


def _reference(job: batch_pb2.Job) -> core_pb2.ObjectReference:
    meta = job.metadata
    return core_pb2.ObjectReference(
        kind=JOBS.kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        apiVersion=JOBS.api_version,
        resourceVersion=meta.resourceVersion,
    )
