"""The ReplicaSets that a Deployment makes: names, hashes, annotations. Pure functions.

After ``getNewReplicaSet`` and ``SetNewReplicaSetAnnotations`` of upstream's deployment controller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.apps.deployments import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    NOT_COPIED,
    POD_TEMPLATE_HASH,
    REVISION,
    REVISION_HISTORY,
    max_surge,
    replicas,
    revision,
)
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import new_controller_ref
from kubelab.apimachinery.scheme import DEPLOYMENTS

HISTORY_LIMIT = 2000  # characters, upstream's maxRevHistoryLengthInChars
_SAFE = "bcdfghjklmnpqrstvwxz2456789"  # upstream's alphabet for generated names: no vowels, no bad words


def template_hash(template: core_pb2.PodTemplateSpec, collisions: int | None) -> str:
    """Give a template a short name, always the same one, but another one for each collision."""
    content = template.SerializeToString(deterministic=True)
    if collisions is not None:
        content += collisions.to_bytes(8, "little", signed=True)
    number = int.from_bytes(hashlib.blake2b(content, digest_size=4).digest(), "little")
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(number))


def make(
    deployment: apps_pb2.Deployment, old: Sequence[apps_pb2.ReplicaSet], collisions: int | None
) -> apps_pb2.ReplicaSet:
    """Make the ReplicaSet of a Deployment's template, of no pods yet. Made again, it has the same name."""
    spec, meta = deployment.spec, deployment.metadata
    name = template_hash(spec.template, collisions)
    made = apps_pb2.ReplicaSet()
    made.metadata.name, made.metadata.namespace = f"{meta.name}-{name}", meta.namespace
    made.metadata.ownerReferences.append(new_controller_ref(deployment, DEPLOYMENTS))
    made.spec.replicas, made.spec.minReadySeconds = 0, spec.minReadySeconds
    made.spec.template.CopyFrom(spec.template)
    made.spec.template.metadata.labels[POD_TEMPLATE_HASH] = name
    made.metadata.labels.update(made.spec.template.metadata.labels)
    made.spec.selector.CopyFrom(spec.selector)
    made.spec.selector.matchLabels[POD_TEMPLATE_HASH] = name
    _copy_annotations(deployment, made)
    made.metadata.annotations[REVISION] = str(_next_revision(old))
    annotate_size(deployment, made)
    return made


def refreshed(
    deployment: apps_pb2.Deployment, new: apps_pb2.ReplicaSet, old: Sequence[apps_pb2.ReplicaSet]
) -> apps_pb2.ReplicaSet:
    """Give a copy of the new ReplicaSet with the Deployment's annotations and minReadySeconds, and the highest
    revision. A revision that it had before is noted in its history: the Deployment was rolled back to it."""
    changed = deep_copy(new)
    _copy_annotations(deployment, changed)
    had, wanted = revision(new), _next_revision(old)
    if had < wanted:
        annotations = changed.metadata.annotations
        before = annotations.get(REVISION)
        annotations[REVISION] = str(wanted)
        if before is not None:
            history = [*filter(None, annotations.get(REVISION_HISTORY, "").split(",")), before]
            while len(history) > 1 and len(",".join(history)) > HISTORY_LIMIT:
                history.pop(0)
            annotations[REVISION_HISTORY] = ",".join(history)
    changed.spec.minReadySeconds = deployment.spec.minReadySeconds
    return changed


def annotate_size(deployment: apps_pb2.Deployment, replica_set: apps_pb2.ReplicaSet) -> None:
    """Note for which size of the Deployment this ReplicaSet was scaled: by that a scaling is told from a rollout."""
    wanted = replicas(deployment)
    replica_set.metadata.annotations[DESIRED_REPLICAS] = str(wanted)
    replica_set.metadata.annotations[MAX_REPLICAS] = str(wanted + max_surge(deployment))


def resized(deployment: apps_pb2.Deployment, replica_set: apps_pb2.ReplicaSet, size: int) -> apps_pb2.ReplicaSet:
    """Give a copy of a ReplicaSet with another size."""
    changed = deep_copy(replica_set)
    changed.spec.replicas = size
    annotate_size(deployment, changed)
    return changed


def noted_size(replica_set: apps_pb2.ReplicaSet, annotation: str) -> int | None:
    """Read what :func:`annotate_size` noted; None where nothing is, or no number."""
    text = replica_set.metadata.annotations.get(annotation, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None


def _copy_annotations(deployment: apps_pb2.Deployment, replica_set: apps_pb2.ReplicaSet) -> None:
    copied = {key: value for key, value in deployment.metadata.annotations.items() if key not in NOT_COPIED}
    replica_set.metadata.annotations.update(copied)


def _next_revision(old: Sequence[apps_pb2.ReplicaSet]) -> int:
    return max(map(revision, old), default=0) + 1
