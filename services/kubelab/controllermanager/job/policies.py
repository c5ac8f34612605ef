"""What the end of a pod means for its Job: the pod failure policy and the success policy (upstream:
``pod_failure_policy.go``, ``success_policy.go``).

https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from kubelab.api.batch.v1 import batch_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.batch import indexes

IGNORE, FAIL_JOB, FAIL_INDEX, COUNT = "Ignore", "FailJob", "FailIndex", "Count"


@dataclass(frozen=True, slots=True)
class Match:
    """The action of the first rule that a failed pod fits, and what people read of a Job that fails by it."""

    action: str
    message: str


def match(job: batch_pb2.Job, pod: core_pb2.Pod) -> Match | None:
    """Find the rule that a failed pod fits; None where it fits none, and counts."""
    for number, rule in enumerate(job.spec.podFailurePolicy.rules):
        place = f"matching {rule.action} rule at index {number}"
        who = f"{pod.metadata.namespace}/{pod.metadata.name}"
        if rule.HasField("onExitCodes"):
            status = _container(pod.status, rule.onExitCodes)
            if status is not None:
                code = status.state.terminated.exitCode
                return Match(rule.action, f"Container {status.name} for pod {who} failed with exit code {code} {place}")
        elif (condition := _condition(pod.status, rule)) is not None:
            return Match(rule.action, f"Pod {who} has condition {condition} {place}")
    return None


def counts(job: batch_pb2.Job, pod: core_pb2.Pod) -> bool:
    """Say whether a failed pod counts against the back-off limit."""
    found = match(job, pod)
    return found is None or found.action != IGNORE


def failing(job: batch_pb2.Job, failed: Iterable[core_pb2.Pod]) -> str | None:
    """Give the message of the first failed pod that fails the whole Job."""
    if not job.spec.HasField("podFailurePolicy"):
        return None
    matches = (match(job, pod) for pod in failed)
    return next((found.message for found in matches if found is not None and found.action == FAIL_JOB), None)


def _container(
    status: core_pb2.PodStatus, codes: batch_pb2.PodFailurePolicyOnExitCodesRequirement
) -> core_pb2.ContainerStatus | None:
    for container in (*status.containerStatuses, *status.initContainerStatuses):
        if codes.HasField("containerName") and codes.containerName != container.name:
            continue
        if not container.state.HasField("terminated"):
            continue
        code = container.state.terminated.exitCode
        if code and (code in codes.values) == (codes.operator == "In"):
            return container
    return None


def _condition(status: core_pb2.PodStatus, rule: batch_pb2.PodFailurePolicyRule) -> str | None:
    wanted = {(pattern.type, pattern.status) for pattern in rule.onPodConditions}
    return next((c.type for c in status.conditions if (c.type, c.status) in wanted), None)


def succeeded_by(job: batch_pb2.Job, succeeded: Set[int]) -> str | None:
    """Say which rule of the success policy the succeeded indexes fulfil; None where there is none."""
    if not succeeded:
        return None
    for number, rule in enumerate(job.spec.successPolicy.rules):
        counted = len(succeeded)
        needed = rule.succeededCount if rule.HasField("succeededCount") else 0
        if rule.HasField("succeededIndexes"):
            required = indexes.parse(rule.succeededIndexes, job.spec.completions)
            counted = indexes.among(succeeded, required)
            needed = needed or indexes.size(required)
        if counted >= needed:
            return f"Matched rules at index {number}"
    return None
