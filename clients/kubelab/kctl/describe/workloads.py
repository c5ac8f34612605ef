"""Jobs, and what the workloads of batch/v1 and apps/v1 have in common."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.core.v1 import core_pb2, persistentvolumes_pb2
from kubelab.apimachinery import intstr, labelselectors
from kubelab.apimachinery.meta import get_controller_of, is_controlled_by
from kubelab.apimachinery.timestamps import human_duration
from kubelab.kctl.describe import events, pods
from kubelab.kctl.describe.writer import NONE, Writer, comma_labels, moment

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


def daemon_set(obj: apps_pb2.DaemonSet, selected: Sequence[core_pb2.Pod], object_events: Events, now: float) -> str:
    """Describe a DaemonSet; of the pods that its selector selects only its own count."""
    w, status = Writer(), obj.status
    w.field("Name", obj.metadata.name)
    w.field("Namespace", obj.metadata.namespace)
    w.field("Selector", labelselectors.text(obj.spec.selector))
    w.field("Node-Selector", comma_labels(obj.spec.template.spec.nodeSelector))
    w.labels("Labels", obj.metadata.labels)
    w.annotations("Annotations", obj.metadata.annotations)
    w.line(f"Desired Number of Nodes Scheduled: {status.desiredNumberScheduled}")
    w.line(f"Current Number of Nodes Scheduled: {status.currentNumberScheduled}")
    w.line(f"Number of Nodes Scheduled with Up-to-date Pods: {status.updatedNumberScheduled}")
    w.line(f"Number of Nodes Scheduled with Available Pods: {status.numberAvailable}")
    w.line(f"Number of Nodes Misscheduled: {status.numberMisscheduled}")
    w.field("Pods Status", _phases(obj, selected))
    pods.template(w, obj.spec.template)
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def stateful_set(obj: apps_pb2.StatefulSet, selected: Sequence[core_pb2.Pod], object_events: Events, now: float) -> str:
    """Describe a StatefulSet; of the pods that its selector selects only its own count."""
    w, spec = Writer(), obj.spec
    w.field("Name", obj.metadata.name)
    w.field("Namespace", obj.metadata.namespace)
    w.field("CreationTimestamp", moment(obj.metadata.creationTimestamp))
    w.field("Selector", labelselectors.text(spec.selector))
    w.labels("Labels", obj.metadata.labels)
    w.annotations("Annotations", obj.metadata.annotations)
    w.field("Replicas", f"{spec.replicas} desired | {obj.status.replicas} total")
    w.field("Update Strategy", spec.updateStrategy.type)
    rolling = spec.updateStrategy.rollingUpdate
    if rolling.HasField("partition"):
        w.field("  Partition", rolling.partition)
    if rolling.HasField("maxUnavailable"):
        w.field("  MaxUnavailable", intstr.text(rolling.maxUnavailable))
    w.field("Pods Status", _phases(obj, selected))
    pods.template(w, spec.template)
    _claims(w, spec.volumeClaimTemplates)
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def _phases(owner: Message, selected: Sequence[core_pb2.Pod]) -> str:
    phases = [pod.status.phase for pod in selected if is_controlled_by(pod, owner)]
    titles = {"Running": "Running", "Pending": "Waiting", "Succeeded": "Succeeded", "Failed": "Failed"}
    return " / ".join(f"{phases.count(phase)} {title}" for phase, title in titles.items())


def _claims(w: Writer, templates: Sequence[persistentvolumes_pb2.PersistentVolumeClaim]) -> None:
    if not templates:
        w.field("Volume Claims", NONE)
        return
    w.line("Volume Claims:")
    for claim in templates:
        w.field("Name", claim.metadata.name, 1)
        w.field("StorageClass", claim.spec.storageClassName, 1)
        w.labels("  Labels", claim.metadata.labels)
        w.annotations("  Annotations", claim.metadata.annotations)
        capacity = claim.spec.resources.requests
        w.field("Capacity", capacity["storage"].string if "storage" in capacity else "<default>", 1)
        w.field("Access Modes", f"[{' '.join(claim.spec.accessModes)}]", 1)


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
