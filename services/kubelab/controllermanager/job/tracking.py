"""How ended pods get into a Job's counts, each exactly once (upstream: ``trackJobStatusAndRemoveFinalizers``).

A pod keeps its finalizer until it is counted, in three steps, after each of which the controller may stop:

1. The pod's uid is written into ``status.uncountedTerminatedPods``, or the index of a success of an indexed Job into
   ``status.completedIndexes``.
2. The finalizer comes off the pod.
3. The uid moves from there into the number.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence, Set

from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import timestamps
from kubelab.apimachinery.batch import indexes
from kubelab.apimachinery.batch.jobs import COMPLETE, FAILED, FAILURE_TARGET, SUSPENDED
from kubelab.apimachinery.core.conditions import FALSE, TRUE, get_condition, set_condition
from kubelab.apimachinery.core.pods import SUCCEEDED
from kubelab.apimachinery.meta import is_terminating
from kubelab.controllermanager.job import policies
from kubelab.controllermanager.job.decide import Ending
from kubelab.controllermanager.job.pods import index_of, is_failed, is_tracked
from kubelab.controllermanager.job.view import JobView, limits_per_index

MAX_UNCOUNTED = 500  # uids in one status


def release(view: JobView, status: batch_pb2.JobStatus, *, ending: bool) -> list[core_pb2.Pod]:
    """Write the ended pods into ``status`` and return those whose finalizer may come off once it is stored.
    ``ending``: the Job makes no more pods."""
    uncounted = status.uncountedTerminatedPods
    uncounted.SetInParent()
    listed = {*uncounted.succeeded, *uncounted.failed}
    done = indexes.known(status.completedIndexes, view.job.spec.completions)
    released: list[core_pb2.Pod] = []
    fresh = 0
    for pod in view.pods:
        if not is_tracked(pod) or not _may_go(view, pod, ending):
            continue
        if len(listed) + fresh >= MAX_UNCOUNTED:
            break
        released.append(pod)
        uid, index = pod.metadata.uid, index_of(pod, view.job)
        if uid in listed:
            continue
        if pod.status.phase == SUCCEEDED:
            if not view.indexed:
                uncounted.succeeded.append(uid)
                listed.add(uid)
            elif index is not None and index not in done:
                done.add(index)
                fresh += 1
        elif is_failed(pod, view.job) and (not view.indexed or index is not None) and policies.counts(view.job, pod):
            uncounted.failed.append(uid)
            listed.add(uid)
    if view.indexed:
        status.completedIndexes, status.succeeded = indexes.text(done), len(done)
        if limits_per_index(view.job):
            status.failedIndexes = indexes.text(view.failed_indexes - done)
    return released


def _may_go(view: JobView, pod: core_pb2.Pod, ending: bool) -> bool:
    if is_terminating(view.job) or pod.status.phase == SUCCEEDED:
        return True
    if not is_failed(pod, view.job):
        return False
    index = index_of(pod, view.job)
    last = view.last_failed.get(index) if index is not None and not ending else None
    return last is None or last.metadata.uid != pod.metadata.uid


def count(status: batch_pb2.JobStatus, tracked: Set[str]) -> bool:
    """Move pods that lost their finalizer from the uncounted ones into the numbers; ``tracked`` are the uids of those
    that have it. False when there is none."""
    uncounted = status.uncountedTerminatedPods
    succeeded = [uid for uid in uncounted.succeeded if uid not in tracked]
    failed = [uid for uid in uncounted.failed if uid not in tracked]
    if not succeeded and not failed:
        return False
    status.succeeded += len(succeeded)
    status.failed += len(failed)
    _keep(uncounted.succeeded, tracked)
    _keep(uncounted.failed, tracked)
    return True


def _keep(uids: MutableSequence[str], tracked: Set[str]) -> None:
    kept = [uid for uid in uids if uid in tracked]
    del uids[:]
    uids.extend(kept)


def announce(status: batch_pb2.JobStatus, ending: Ending, now: float) -> None:
    """Say how the Job will end, as soon as that is decided."""
    if get_condition(status.conditions, ending.kind) is None:
        _add(status, ending.kind, ending, now)


def finish(status: batch_pb2.JobStatus, ending: Ending, terminating: int, now: float) -> batch_pb2.JobCondition | None:
    """Say that the Job has ended, when every pod is counted and none still ends; None before."""
    uncounted = status.uncountedTerminatedPods
    if uncounted.succeeded or uncounted.failed or terminating:
        return None
    kind = FAILED if ending.kind == FAILURE_TARGET else COMPLETE
    if kind == COMPLETE:
        status.completionTime.CopyFrom(timestamps.to_time(now))
    return _add(status, kind, ending, now)


def suspend(status: batch_pb2.JobStatus, suspended: bool, now: float) -> tuple[str, str] | None:
    """Say whether the Job is suspended; a Job that goes on starts its time anew. Return the event's reason and message
    where that is new."""
    condition = get_condition(status.conditions, SUSPENDED)
    if suspended:
        if condition is not None and condition.status == TRUE:
            return None
        _suspended(status, TRUE, "JobSuspended", "Job suspended", now)
        return "Suspended", "Job suspended"
    if condition is None or condition.status != TRUE:
        return None
    _suspended(status, FALSE, "JobResumed", "Job resumed", now)
    status.startTime.CopyFrom(timestamps.to_time(now))
    return "Resumed", "Job resumed"


def _suspended(status: batch_pb2.JobStatus, value: str, reason: str, message: str, now: float) -> None:
    set_condition(status.conditions, SUSPENDED, value, now, reason=reason, message=message)
    condition = get_condition(status.conditions, SUSPENDED)
    assert condition is not None
    condition.lastProbeTime.CopyFrom(timestamps.to_time(now))


def _add(status: batch_pb2.JobStatus, kind: str, ending: Ending, now: float) -> batch_pb2.JobCondition:
    condition = status.conditions.add(type=kind, status=TRUE, reason=ending.reason, message=ending.message)
    condition.lastProbeTime.CopyFrom(timestamps.to_time(now))
    condition.lastTransitionTime.CopyFrom(timestamps.to_time(now))
    return condition


def uids(pods: Iterable[core_pb2.Pod]) -> set[str]:
    """Give the uids of the pods that have the finalizer."""
    return {pod.metadata.uid for pod in pods if is_tracked(pod)}
