"""The names that Jobs and their pods carry, and whether a Job has ended.

https://kubernetes.io/docs/reference/labels-annotations-taints/#batchkubernetesiojob-tracking
"""

from __future__ import annotations

from kubelab.api.batch.v1 import batch_pb2
from kubelab.apimachinery.core.conditions import TRUE

CONTROLLER_UID, LEGACY_CONTROLLER_UID = "batch.kubernetes.io/controller-uid", "controller-uid"
JOB_NAME, LEGACY_JOB_NAME = "batch.kubernetes.io/job-name", "job-name"
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
INDEX_IGNORED_FAILURE_COUNT = "batch.kubernetes.io/job-index-ignored-failure-count"
TRACKING = "batch.kubernetes.io/job-tracking"
CRONJOB_TIMESTAMP = "batch.kubernetes.io/cronjob-scheduled-timestamp"
INSTANTIATE = "cronjob.kubernetes.io/instantiate"
COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"
SUCCESS_CRITERIA_MET, FAILURE_TARGET = "SuccessCriteriaMet", "FailureTarget"


def finished(job: batch_pb2.Job) -> batch_pb2.JobCondition | None:
    """Give the condition by which a Job has ended; None while it has not."""
    return next((c for c in job.status.conditions if c.type in (COMPLETE, FAILED) and c.status == TRUE), None)
