"""A Job's pods: how they are made, which index they have, whether they failed, and when they ended."""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.batch.jobs import (
    COMPLETION_INDEX,
    INDEX_FAILURE_COUNT,
    INDEX_IGNORED_FAILURE_COUNT,
    TRACKING,
)
from kubelab.apimachinery.core.pods import FAILED, SUCCEEDED, is_terminal
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.names import MAX_GENERATED_BASE
from kubelab.apimachinery.scheme import JOBS
from kubelab.apimachinery.timestamps import from_time
from kubelab.controllermanager.podcontrol import pod_from_template

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"


def make_pod(
    job: batch_pb2.Job, index: int | None = None, *, failures: int | None = None, ignored: int = 0
) -> core_pb2.Pod:
    """Make a pod of the Job's template, with the finalizer that keeps it until it is counted. ``index`` is its
    completion index; ``failures`` and ``ignored`` are how often this index failed, where that is limited."""
    pod = pod_from_template(job.spec.template, job, JOBS)
    meta = pod.metadata
    if TRACKING not in meta.finalizers:
        meta.finalizers.append(TRACKING)
    if index is None:
        return pod
    suffix = f"-{index}-"
    meta.generateName = job.metadata.name[: MAX_GENERATED_BASE - len(suffix)] + suffix
    meta.annotations[COMPLETION_INDEX] = meta.labels[COMPLETION_INDEX] = str(index)
    if failures is not None:
        meta.annotations[INDEX_FAILURE_COUNT] = str(failures)
        if ignored:
            meta.annotations[INDEX_IGNORED_FAILURE_COUNT] = str(ignored)
    pod.spec.hostname = f"{job.metadata.name}-{index}"
    for container in (*pod.spec.initContainers, *pod.spec.containers):
        if all(variable.name != INDEX_VARIABLE for variable in container.env):
            ref = container.env.add(name=INDEX_VARIABLE).valueFrom.fieldRef
            ref.apiVersion, ref.fieldPath = "v1", f"metadata.labels['{COMPLETION_INDEX}']"
    return pod


def is_tracked(pod: core_pb2.Pod) -> bool:
    """Say whether the pod still has the finalizer of one that is not counted."""
    return TRACKING in pod.metadata.finalizers


def index_of(pod: core_pb2.Pod, job: batch_pb2.Job) -> int | None:
    """Give the pod's completion index; None where it has none that the Job has."""
    index = _number(pod, COMPLETION_INDEX)
    return index if index is not None and 0 <= index < job.spec.completions else None


def failures_of(pod: core_pb2.Pod) -> int:
    """Give how often the pod's index had failed before it."""
    return _number(pod, INDEX_FAILURE_COUNT) or 0


def ignored_failures_of(pod: core_pb2.Pod) -> int:
    """Give how many failures of the pod's index, before it, did not count."""
    return _number(pod, INDEX_IGNORED_FAILURE_COUNT) or 0


def _number(pod: core_pb2.Pod, annotation: str) -> int | None:
    value = pod.metadata.annotations.get(annotation, "")
    return int(value) if value.isascii() and value.isdecimal() else None


def replaces_only_failed(job: batch_pb2.Job) -> bool:
    """Say whether a pod that is being deleted still holds its place."""
    return job.spec.podReplacementPolicy == "Failed"


def is_failed(pod: core_pb2.Pod, job: batch_pb2.Job) -> bool:
    """Say whether a pod counts as failed: one that is being deleted does, where it is replaced at once."""
    if pod.status.phase == FAILED:
        return True
    return is_terminating(pod) and pod.status.phase != SUCCEEDED and not replaces_only_failed(job)


def is_leaving(pod: core_pb2.Pod) -> bool:
    """Say whether a pod is being deleted and has not ended."""
    return is_terminating(pod) and not is_terminal(pod)


def ended_at(pod: core_pb2.Pod, now: float) -> float:
    """Give the time when the pod's last container ended, in seconds since the epoch."""
    statuses = (*pod.status.containerStatuses, *pod.status.initContainerStatuses)
    ends = [from_time(s.state.terminated.finishedAt) for s in statuses if s.state.terminated.HasField("finishedAt")]
    if ends:
        return max(ends)
    if pod.metadata.HasField("deletionTimestamp"):
        return pod.metadata.deletionTimestamp.seconds - pod.metadata.deletionGracePeriodSeconds
    return now


def restarts(pods: Iterable[core_pb2.Pod]) -> int:
    """Count the restarts of the containers of pods that have not ended."""
    return sum(
        status.restartCount
        for pod in pods
        if pod.status.phase in ("Running", "Pending")
        for status in (*pod.status.containerStatuses, *pod.status.initContainerStatuses)
    )
