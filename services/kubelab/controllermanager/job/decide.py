"""What a Job should do next: pure functions of what the cache shows of it.

After upstream's ``syncJob`` and ``manageJob`` (``pkg/controller/job/job_controller.go``).
https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.batch.jobs import FAILURE_TARGET, SUCCESS_CRITERIA_MET
from kubelab.apimachinery.core.conditions import get_condition
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.timestamps import from_time
from kubelab.controllermanager.job import backoff, policies
from kubelab.controllermanager.job.pods import (
    ended_at,
    failures_of,
    ignored_failures_of,
    index_of,
    is_failed,
    is_leaving,
    make_pod,
    replaces_only_failed,
    restarts,
)
from kubelab.controllermanager.job.view import JobView, limits_per_index
from kubelab.controllermanager.podranking import rank_for_deletion

BURST = 500  # creations, or deletions, of one sync
COMPLETIONS_REACHED = "CompletionsReached"
COMPLETIONS_MESSAGE = "Reached expected number of succeeded pods"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a Job ends. ``kind`` is the condition that says so while its last pods still run."""

    kind: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Pods to create, or to delete, never both; and in how many seconds to look again."""

    create: tuple[core_pb2.Pod, ...] = ()
    delete: tuple[core_pb2.Pod, ...] = ()
    look_again: float | None = None


def ending(view: JobView, now: float) -> Ending | None:
    """Say whether a Job must end before it has all its completions: it failed, or its success policy is fulfilled.
    ``now`` is wall time in seconds."""
    job = view.job
    for kind in (FAILURE_TARGET, SUCCESS_CRITERIA_MET):
        if (decided := get_condition(job.status.conditions, kind)) is not None:
            return Ending(kind, decided.reason, decided.message)
    message = policies.failing(job, (pod for pod in view.pods if is_failed(pod, job)))
    if message is not None:
        return Ending(FAILURE_TARGET, "PodFailurePolicy", message)
    if view.failed > job.spec.backoffLimit or _restarted_too_often(view):
        return Ending(FAILURE_TARGET, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if (left := deadline_in(job, now)) is not None and left <= 0:
        return Ending(FAILURE_TARGET, "DeadlineExceeded", "Job was active longer than specified deadline")
    if limits_per_index(job) and (failure := _failed_by_indexes(view)) is not None:
        return failure
    rule = policies.succeeded_by(job, view.succeeded_indexes) if job.spec.HasField("successPolicy") else None
    return Ending(SUCCESS_CRITERIA_MET, "SuccessPolicy", rule) if rule is not None else None


def _restarted_too_often(view: JobView) -> bool:
    spec = view.job.spec
    if spec.template.spec.restartPolicy != "OnFailure":
        return False
    total = restarts(view.pods)
    return total > 0 if spec.backoffLimit == 0 else total >= spec.backoffLimit


def _failed_by_indexes(view: JobView) -> Ending | None:
    spec, failed = view.job.spec, len(view.failed_indexes)
    if spec.HasField("maxFailedIndexes") and failed > spec.maxFailedIndexes:
        message = "Job has exceeded the specified maximal number of failed indexes"
        return Ending(FAILURE_TARGET, "MaxFailedIndexesExceeded", message)
    if failed and failed + len(view.succeeded_indexes) >= spec.completions:
        return Ending(FAILURE_TARGET, "FailedIndexes", "Job has failed indexes")
    return None


def deadline_in(job: batch_pb2.Job, now: float) -> float | None:
    """Give the seconds until the Job's deadline; None where it has none, or where the time does not run."""
    if not job.spec.HasField("activeDeadlineSeconds") or job.spec.suspend or not job.status.HasField("startTime"):
        return None
    return from_time(job.status.startTime) + job.spec.activeDeadlineSeconds - now


def completed(view: JobView, active: int) -> Ending | None:
    """Say whether a Job has all its completions, with so many pods ``active``."""
    spec = view.job.spec
    if spec.HasField("completions"):
        complete = view.succeeded >= spec.completions and active == 0
    else:  # any pod that succeeded says that the work is done; the others end by themselves
        complete = view.succeeded > 0 and active == 0
    return Ending(SUCCESS_CRITERIA_MET, COMPLETIONS_REACHED, COMPLETIONS_MESSAGE) if complete else None


def plan(view: JobView, record: backoff.BackoffRecord, now: float) -> Plan:
    """Compare the active pods with how many there should be. ``now`` is wall time in seconds."""
    wanted = 0 if view.job.spec.suspend else _wanted(view)
    active = len(view.active)
    delete = _to_delete(view, max(active - wanted, 0), now)[:BURST]
    if delete or view.job.spec.suspend:
        return Plan(delete=tuple(delete))
    holding = view.terminating if replaces_only_failed(view.job) else 0
    missing = min(wanted - holding - active, BURST)
    if missing <= 0:
        return Plan()
    if limits_per_index(view.job):
        return _independent_indexes(view, missing, now)
    if wait := record.remaining(now):
        return Plan(look_again=wait)
    if view.indexed:
        return Plan(create=tuple(make_pod(view.job, index) for index in islice(_pending_indexes(view), missing)))
    return Plan(create=(make_pod(view.job),) * missing)


def _wanted(view: JobView) -> int:
    spec = view.job.spec
    if not spec.HasField("completions"):
        return len(view.active) if view.succeeded else spec.parallelism
    return max(min(spec.completions - view.succeeded - len(view.failed_indexes), spec.parallelism), 0)


def _to_delete(view: JobView, at_least: int, now: float) -> list[core_pb2.Pod]:
    """Choose so many pods at least: of an indexed Job first those whose index is done, unknown or another pod's."""
    ranked = rank_for_deletion(view.active, view.active, now)
    if not view.indexed:
        return [*ranked[:at_least]]
    done = view.succeeded_indexes | view.failed_indexes
    kept: set[int] = set()
    excess: list[core_pb2.Pod] = []
    rest: list[core_pb2.Pod] = []
    for pod in reversed(ranked):
        index = index_of(pod, view.job)
        if index is None or index in done or index in kept:
            excess.insert(0, pod)
        else:
            kept.add(index)
            rest.insert(0, pod)
    return excess + rest[: max(at_least - len(excess), 0)]


def _pending_indexes(view: JobView) -> Iterable[int]:
    """Give the indexes that need a pod, the lowest first."""
    job = view.job
    holding = [pod for pod in view.pods if is_leaving(pod)] if replaces_only_failed(job) else []
    busy = {index_of(pod, job) for pod in (*view.active, *holding)}
    done = view.succeeded_indexes | view.failed_indexes
    return (index for index in range(job.spec.completions) if index not in done and index not in busy)


def _independent_indexes(view: JobView, missing: int, now: float) -> Plan:
    """Make pods of indexes that wait for nothing; each has a back-off of its own."""
    create: list[core_pb2.Pod] = []
    waits: list[float] = []
    for index in _pending_indexes(view):
        if len(create) == missing:
            break
        last = view.last_failed.get(index)
        if last is None:
            create.append(make_pod(view.job, index, failures=0))
            continue
        counted, ignored = failures_of(last), ignored_failures_of(last)
        if policies.counts(view.job, last):
            counted += 1
        else:
            ignored += 1
        if wait := backoff.remaining(counted + ignored, ended_at(last, now), now):
            waits.append(wait)
        else:
            create.append(make_pod(view.job, index, failures=counted, ignored=ignored))
    return Plan(create=tuple(create), look_again=min(waits, default=None) if not create else None)


def all_active(pods: Sequence[core_pb2.Pod]) -> Plan:
    """Delete every active pod of a Job that ends."""
    return Plan(delete=tuple(pod for pod in pods if not is_terminating(pod)))
