"""How a Deployment and its ReplicaSets belong together: revisions, templates, and the bounds of a rolling update.

After upstream's ``pkg/controller/deployment/util/deployment_util.go``, which kubectl has a copy of.
https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from google.protobuf.message import Message

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import intstr
from kubelab.apimachinery.meta import meta_of

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
ROLLBACK_TO = "deprecated.deployment.rollback.to"
CHANGE_CAUSE = "kubernetes.io/change-cause"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
POD_TEMPLATE_HASH = "pod-template-hash"
NOT_COPIED = frozenset((LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS, ROLLBACK_TO))
"""The annotations that a Deployment and its ReplicaSets each have for themselves."""

ROLLING_UPDATE, RECREATE = "RollingUpdate", "Recreate"
AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"
TIMED_OUT = "ProgressDeadlineExceeded"
UNLIMITED = 2**31 - 1
"""A progress deadline or history limit of so much is none."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)


def replicas(workload: apps_pb2.Deployment | apps_pb2.ReplicaSet) -> int:
    """Give ``spec.replicas``; unset means one."""
    return workload.spec.replicas if workload.spec.HasField("replicas") else 1


def revision(obj: Message) -> int:
    """Give the revision of a Deployment or ReplicaSet; 0 where its annotation is missing or no number."""
    text = meta_of(obj).annotations.get(REVISION, "")
    return int(text) if _NUMBER.fullmatch(text) else 0


def last_revision(replica_sets: Iterable[apps_pb2.ReplicaSet]) -> int:
    """Give the second highest revision, the one before the present; 0 where there is none."""
    revisions = sorted((revision(rs) for rs in replica_sets), reverse=True)
    return revisions[1] if len(revisions) > 1 else 0


def same_template(one: core_pb2.PodTemplateSpec, other: core_pb2.PodTemplateSpec) -> bool:
    """Compare two templates, whatever hash their labels carry."""
    return one.spec == other.spec and _metadata(one) == _metadata(other)


def _metadata(template: core_pb2.PodTemplateSpec) -> Message:
    metadata = type(template.metadata)()
    metadata.CopyFrom(template.metadata)
    metadata.labels.pop(POD_TEMPLATE_HASH, None)
    return metadata


def new_and_old(
    deployment: apps_pb2.Deployment, replica_sets: Iterable[apps_pb2.ReplicaSet]
) -> tuple[apps_pb2.ReplicaSet | None, list[apps_pb2.ReplicaSet]]:
    """Find the ReplicaSet that has the Deployment's template, the oldest if there are several; the others are old."""
    in_order = by_age(replica_sets)
    new = next((rs for rs in in_order if same_template(rs.spec.template, deployment.spec.template)), None)
    return new, [rs for rs in in_order if rs is not new]


def by_age(replica_sets: Iterable[apps_pb2.ReplicaSet]) -> list[apps_pb2.ReplicaSet]:
    """Sort, the oldest first, of the same second by name."""
    return sorted(replica_sets, key=lambda rs: (rs.metadata.creationTimestamp.seconds, rs.metadata.name))


def to_roll_back_to(replica_sets: Sequence[apps_pb2.ReplicaSet], wanted: int) -> apps_pb2.ReplicaSet | None:
    """Find the ReplicaSet of a revision; 0 means the one before the latest."""
    if wanted:
        return next((rs for rs in replica_sets if revision(rs) == wanted), None)
    latest_first = sorted(replica_sets, key=revision, reverse=True)
    return latest_first[1] if len(latest_first) > 1 else None


def roll_back(deployment: apps_pb2.Deployment, target: apps_pb2.ReplicaSet) -> None:
    """Give a Deployment the template and the annotations of one of its ReplicaSets."""
    deployment.spec.template.CopyFrom(target.spec.template)
    deployment.spec.template.metadata.labels.pop(POD_TEMPLATE_HASH, None)
    own = {key: value for key, value in deployment.metadata.annotations.items() if key in NOT_COPIED}
    copied = {key: value for key, value in target.metadata.annotations.items() if key not in NOT_COPIED}
    deployment.metadata.annotations.clear()
    deployment.metadata.annotations.update(own | copied)


def is_rolling(deployment: apps_pb2.Deployment) -> bool:
    """Say whether the old pods are replaced bit by bit."""
    return deployment.spec.strategy.type == ROLLING_UPDATE


def max_surge(deployment: apps_pb2.Deployment) -> int:
    """Say how many pods more than desired there may be."""
    return bounds(deployment)[0]


def max_unavailable(deployment: apps_pb2.Deployment) -> int:
    """Say how many of the desired pods may be unavailable."""
    wanted = replicas(deployment)
    return min(bounds(deployment)[1], wanted) if wanted else 0


def bounds(deployment: apps_pb2.Deployment) -> tuple[int, int]:
    """Work out surge, rounded up, and unavailability, rounded down; they are never both zero (``ResolveFenceposts``).
    Both are zero where the strategy is not a rolling update."""
    if not is_rolling(deployment):
        return 0, 0
    wanted, rolling = replicas(deployment), deployment.spec.strategy.rollingUpdate
    surge = intstr.scaled(rolling.maxSurge, wanted, round_up=True)
    unavailable = intstr.scaled(rolling.maxUnavailable, wanted, round_up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def has_deadline(deployment: apps_pb2.Deployment) -> bool:
    """Say whether a rollout that makes no progress fails."""
    return deployment.spec.HasField("progressDeadlineSeconds") and deployment.spec.progressDeadlineSeconds != UNLIMITED


def is_complete(deployment: apps_pb2.Deployment, status: apps_pb2.DeploymentStatus) -> bool:
    """Say whether all pods are of the new template and available, and no old one is left."""
    wanted = replicas(deployment)
    counts = (status.updatedReplicas, status.replicas, status.availableReplicas)
    return counts == (wanted,) * 3 and status.observedGeneration >= deployment.metadata.generation
