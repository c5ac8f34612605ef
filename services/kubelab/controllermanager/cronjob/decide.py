"""Which time of its schedule a CronJob has to make a Job for, and which ended Jobs go: pure functions.

After upstream's ``mostRecentScheduleTime`` (``pkg/controller/cronjob/utils.go``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kubelab.api.batch.v1 import batch_pb2
from kubelab.apimachinery import timestamps
from kubelab.apimachinery.batch.jobs import COMPLETE, CRONJOB_TIMESTAMP, finished
from kubelab.apimachinery.meta import new_controller_ref
from kubelab.apimachinery.scheme import CRON_JOBS

MANY = 100  # missed times

Next = Callable[[float], float | None]
"""The first time of a schedule after a moment."""


@dataclass(frozen=True, slots=True)
class Due:
    """The last time that has come, if any; how many times have come since the last Job; and the next time."""

    last: float | None
    missed: int
    next: float | None


def due(cron_job: batch_pb2.CronJob, next_after: Next, now: float) -> Due:
    """Find the time to make a Job for; times that are older than ``startingDeadlineSeconds`` are left out. ``now`` is
    wall time in seconds."""
    earliest = timestamps.from_time(cron_job.metadata.creationTimestamp)
    if cron_job.status.HasField("lastScheduleTime"):
        earliest = timestamps.from_time(cron_job.status.lastScheduleTime)
    if cron_job.spec.HasField("startingDeadlineSeconds"):
        earliest = max(earliest, now - cron_job.spec.startingDeadlineSeconds)
    first = next_after(earliest)
    if first is None or now < first:
        return Due(None, 0, first)
    second = next_after(first)
    if second is None or now < second:
        return Due(first, 1, second)
    between = max(second - first, 1.0)
    missed = int((now - first) / between) + 1
    last, following = first, next_after(first + (missed - 2) * between)
    while following is not None and following <= now:
        last, following = following, next_after(following)
    return Due(last, missed, following)


def job_name(cron_job: batch_pb2.CronJob, scheduled: float) -> str:
    """Name the Job of a time: the same name keeps the same time from being done twice."""
    return f"{cron_job.metadata.name}-{int(scheduled) // 60}"


def make_job(cron_job: batch_pb2.CronJob, scheduled: float, stamp: str) -> batch_pb2.Job:
    """Make the Job of a time, which ``stamp`` says as RFC 3339 does."""
    template = cron_job.spec.jobTemplate
    job = batch_pb2.Job(spec=template.spec)
    meta = job.metadata
    meta.name, meta.namespace = job_name(cron_job, scheduled), cron_job.metadata.namespace
    meta.labels.update(template.metadata.labels)
    meta.annotations.update(template.metadata.annotations)
    meta.annotations[CRONJOB_TIMESTAMP] = stamp
    meta.ownerReferences.append(new_controller_ref(cron_job, CRON_JOBS))
    return job


def beyond_history(cron_job: batch_pb2.CronJob, jobs: Sequence[batch_pb2.Job]) -> list[batch_pb2.Job]:
    """Choose the ended Jobs that are more than the history keeps, the oldest first."""
    spec = cron_job.spec
    gone: list[batch_pb2.Job] = []
    for successful, name in ((True, "successfulJobsHistoryLimit"), (False, "failedJobsHistoryLimit")):
        ended = [job for job in jobs if (end := finished(job)) is not None and (end.type == COMPLETE) is successful]
        ended.sort(key=lambda job: (job.status.startTime.seconds, job.metadata.name))
        gone += ended[: max(len(ended) - getattr(spec, name), 0)]
    return gone
