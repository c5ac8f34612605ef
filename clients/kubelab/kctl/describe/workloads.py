"""Jobs, and what the workloads of batch/v1 and apps/v1 have in common."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.meta import get_controller_of
from kubelab.apimachinery.timestamps import human_duration
from kubelab.kctl.describe import events, pods
from kubelab.kctl.describe.writer import NONE, Writer, moment

Events = Sequence[core_pb2.Event] | None
UNSET = "<unset>"
MAX_INDEXES = 50  # characters


def job(obj: batch_pb2.Job, object_events: Events, now: float) -> str:
    """Describe a Job."""
    w, spec, status = Writer(), obj.spec, obj.status
    w.field("Name", obj.metadata.name)
    w.field("Namespace", obj.metadata.namespace)
    w.field("Selector", labelselectors.text(spec.selector))
    w.labels("Labels", obj.metadata.labels)
    w.annotations("Annotations", obj.metadata.annotations)
    owner = get_controller_of(obj)
    if owner is not None:
        w.field("Controlled By", f"{owner.kind}/{owner.name}")
    job_numbers(w, spec)
    if status.HasField("startTime"):
        w.field("Start Time", moment(status.startTime))
    if status.HasField("completionTime"):
        w.field("Completed At", moment(status.completionTime))
        if status.HasField("startTime"):
            w.field("Duration", human_duration(status.completionTime.seconds - status.startTime.seconds))
    if spec.HasField("activeDeadlineSeconds"):
        w.field("Active Deadline Seconds", f"{spec.activeDeadlineSeconds}s")
    ready = f" ({status.ready} Ready)" if status.HasField("ready") else ""
    w.field("Pods Statuses", f"{status.active} Active{ready} / {status.succeeded} Succeeded / {status.failed} Failed")
    if spec.completionMode == "Indexed":
        w.field("Completed Indexes", _shortened(status.completedIndexes))
    pods.template(w, spec.template)
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def cron_job(obj: batch_pb2.CronJob, object_events: Events, now: float) -> str:
    """Describe a CronJob with the template of its Jobs."""
    w, spec, status = Writer(), obj.spec, obj.status
    w.field("Name", obj.metadata.name)
    w.field("Namespace", obj.metadata.namespace)
    w.labels("Labels", obj.metadata.labels)
    w.annotations("Annotations", obj.metadata.annotations)
    w.field("Schedule", spec.schedule)
    w.field("Concurrency Policy", spec.concurrencyPolicy)
    w.field("Suspend", spec.suspend if spec.HasField("suspend") else UNSET)
    kept = spec.successfulJobsHistoryLimit if spec.HasField("successfulJobsHistoryLimit") else UNSET
    w.field("Successful Job History Limit", kept)
    w.field("Failed Job History Limit", spec.failedJobsHistoryLimit)
    deadline = f"{spec.startingDeadlineSeconds}s" if spec.HasField("startingDeadlineSeconds") else UNSET
    w.field("Starting Deadline Seconds", deadline)
    template = spec.jobTemplate.spec
    w.field("Selector", labelselectors.text(template.selector) if template.HasField("selector") else UNSET)
    w.field("Parallelism", template.parallelism if template.HasField("parallelism") else UNSET)
    w.field("Completions", template.completions if template.HasField("completions") else UNSET)
    if template.HasField("activeDeadlineSeconds"):
        w.field("Active Deadline Seconds", f"{template.activeDeadlineSeconds}s")
    pods.template(w, template.template)
    last = moment(status.lastScheduleTime) if status.HasField("lastScheduleTime") else UNSET
    w.field("Last Schedule Time", last)
    w.field("Active Jobs", ", ".join(ref.name for ref in status.active) or NONE)
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def job_numbers(w: Writer, spec: batch_pb2.JobSpec) -> None:
    """Write how many pods a Job runs, and how often."""
    if spec.HasField("parallelism"):
        w.field("Parallelism", spec.parallelism)
    w.field("Completions", spec.completions if spec.HasField("completions") else UNSET)
    if spec.HasField("completionMode"):
        w.field("Completion Mode", spec.completionMode)
    if spec.HasField("suspend"):
        w.field("Suspend", str(spec.suspend).lower())
    if spec.HasField("backoffLimit"):
        w.field("Backoff Limit", spec.backoffLimit)
    if spec.HasField("ttlSecondsAfterFinished"):
        w.field("TTL Seconds After Finished", spec.ttlSecondsAfterFinished)


def _shortened(indexes: str) -> str:
    if len(indexes) <= MAX_INDEXES:
        return indexes or NONE
    return indexes[: indexes.rfind(",", 0, MAX_INDEXES)] + ",..."
