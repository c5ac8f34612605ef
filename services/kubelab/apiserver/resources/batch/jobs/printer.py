"""The cells of a row of jobs, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.batch.v1 import batch_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.core.conditions import is_true
from kubelab.apimachinery.timestamps import from_time, human_duration
from kubelab.apiserver.printers.cells import age

_BEFORE_DELETION = ("Complete", "Failed")
_AFTER_DELETION = ("Suspended", "FailureTarget", "SuccessCriteriaMet")


def row(job: batch_pb2.Job, now: float) -> list[str]:
    containers = job.spec.template.spec.containers
    return [
        job.metadata.name,
        _status(job),
        _completions(job),
        _duration(job.status, now),
        age(job.metadata.creationTimestamp, now),
        ",".join(c.name for c in containers),
        ",".join(c.image for c in containers),
        labelselectors.text(job.spec.selector),
    ]


def _status(job: batch_pb2.Job) -> str:
    for kind in _BEFORE_DELETION:
        if is_true(job.status.conditions, kind):
            return kind
    if job.metadata.HasField("deletionTimestamp"):
        return "Terminating"
    return next((kind for kind in _AFTER_DELETION if is_true(job.status.conditions, kind)), "Running")


def _completions(job: batch_pb2.Job) -> str:
    spec, succeeded = job.spec, job.status.succeeded
    if spec.HasField("completions"):
        return f"{succeeded}/{spec.completions}"
    return f"{succeeded}/1 of {spec.parallelism}" if spec.parallelism > 1 else f"{succeeded}/1"


def _duration(status: batch_pb2.JobStatus, now: float) -> str:
    if not status.HasField("startTime"):
        return ""
    end = from_time(status.completionTime) if status.HasField("completionTime") else now
    return human_duration(end - from_time(status.startTime))
