"""What the cache shows of a Job and its pods, counted: the facts that the decisions are made on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.batch import indexes
from kubelab.apimachinery.core.pods import SUCCEEDED, is_active, is_ready
from kubelab.controllermanager.job import policies
from kubelab.controllermanager.job.pods import (
    failures_of,
    index_of,
    is_failed,
    is_leaving,
    is_tracked,
)


@dataclass(frozen=True, slots=True)
class JobView:
    """A Job, its pods, and the totals: ended pods that are not in the Job's status yet are included."""

    job: batch_pb2.Job
    pods: Sequence[core_pb2.Pod]
    active: Sequence[core_pb2.Pod]
    terminating: int
    ready: int
    new_succeeded: Sequence[core_pb2.Pod]
    new_failed: Sequence[core_pb2.Pod]
    succeeded: int
    failed: int
    succeeded_indexes: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] = frozenset()
    last_failed: dict[int, core_pb2.Pod] = field(default_factory=dict[int, core_pb2.Pod])
    """Where failures are limited per index: the failed pod of each index that waits for its next one, which takes over
    the number of failures."""

    @property
    def indexed(self) -> bool:
        return is_indexed(self.job)


def is_indexed(job: batch_pb2.Job) -> bool:
    """Say whether each pod has an index."""
    return job.spec.completionMode == "Indexed"


def limits_per_index(job: batch_pb2.Job) -> bool:
    """Say whether each index has its own limit of failures."""
    return is_indexed(job) and job.spec.HasField("backoffLimitPerIndex")


def view(job: batch_pb2.Job, pods: Sequence[core_pb2.Pod]) -> JobView:
    """Count a Job's pods."""
    active = [pod for pod in pods if is_active(pod)]
    uncounted = job.status.uncountedTerminatedPods
    counted = {*uncounted.succeeded, *uncounted.failed}
    ended = [pod for pod in pods if is_tracked(pod) and pod.metadata.uid not in counted]
    new_succeeded = [pod for pod in ended if pod.status.phase == SUCCEEDED]
    new_failed = [pod for pod in ended if is_failed(pod, job)]
    succeeded = job.status.succeeded + len(new_succeeded) + len(uncounted.succeeded)
    succeeded_indexes: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] = frozenset()
    if is_indexed(job):
        succeeded_indexes = _succeeded_indexes(job, new_succeeded)
        succeeded = len(succeeded_indexes)
        if limits_per_index(job):
            failed_indexes = _failed_indexes(job, pods) - succeeded_indexes
    return JobView(
        job,
        pods,
        active,
        sum(is_leaving(pod) for pod in pods),
        sum(is_ready(pod) for pod in active),
        new_succeeded,
        new_failed,
        succeeded,
        job.status.failed + len(uncounted.failed) + sum(policies.counts(job, pod) for pod in new_failed),
        succeeded_indexes,
        failed_indexes,
        _last_failed(job, pods, active, succeeded_indexes | failed_indexes) if limits_per_index(job) else {},
    )


def _succeeded_indexes(job: batch_pb2.Job, succeeded: Sequence[core_pb2.Pod]) -> frozenset[int]:
    before = indexes.known(job.status.completedIndexes, job.spec.completions)
    return frozenset(before.union(i for pod in succeeded if (i := index_of(pod, job)) is not None))


def _failed_indexes(job: batch_pb2.Job, pods: Sequence[core_pb2.Pod]) -> frozenset[int]:
    before = indexes.known(job.status.failedIndexes, job.spec.completions)
    return frozenset(before.union(i for pod in pods if (i := index_of(pod, job)) is not None and _is_last(pod, job)))


def _is_last(pod: core_pb2.Pod, job: batch_pb2.Job) -> bool:
    """Say whether the failure of this pod is that of its index."""
    if not (is_tracked(pod) and is_failed(pod, job)):
        return False
    found = policies.match(job, pod)
    if found is not None and found.action == policies.FAIL_INDEX:
        return True
    counted = failures_of(pod) + (found is None or found.action != policies.IGNORE)
    return counted > job.spec.backoffLimitPerIndex


def _last_failed(
    job: batch_pb2.Job, pods: Sequence[core_pb2.Pod], active: Sequence[core_pb2.Pod], done: frozenset[int]
) -> dict[int, core_pb2.Pod]:
    running = {index_of(pod, job) for pod in active}
    result: dict[int, core_pb2.Pod] = {}
    for pod in pods:
        index = index_of(pod, job)
        if index is None or index in done or index in running or not (is_tracked(pod) and is_failed(pod, job)):
            continue
        if index not in result or failures_of(result[index]) <= failures_of(pod):
            result[index] = pod
    return result
