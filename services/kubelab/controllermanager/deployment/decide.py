"""How large each ReplicaSet of a Deployment should be, and which are no longer needed: pure functions.

After ``rolling.go``, ``recreate.go`` and ``sync.go`` of upstream's deployment controller
(https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment). ``new`` is the
ReplicaSet of the Deployment's template, ``old`` are the others, the oldest first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.apps.deployments import (
    UNLIMITED,
    by_age,
    is_rolling,
    max_surge,
    max_unavailable,
    replicas,
    revision,
)
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.apimachinery.meta import is_terminating
from kubelab.controllermanager.deployment.replicasets import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    noted_size,
)

ReplicaSets = Sequence[apps_pb2.ReplicaSet]


class Scaling(NamedTuple):
    """A ReplicaSet, and the size that it should have."""

    replica_set: apps_pb2.ReplicaSet
    size: int


def total(replica_sets: Iterable[apps_pb2.ReplicaSet]) -> int:
    """Count the pods that ReplicaSets ask for."""
    return sum(map(replicas, replica_sets))


def active(replica_sets: Iterable[apps_pb2.ReplicaSet]) -> list[apps_pb2.ReplicaSet]:
    """Give the ReplicaSets that ask for pods."""
    return [rs for rs in replica_sets if replicas(rs) > 0]


def is_scaling(deployment: apps_pb2.Deployment, replica_sets: Iterable[apps_pb2.ReplicaSet]) -> bool:
    """Say whether the Deployment's size changed since its ReplicaSets were scaled."""
    noted = (noted_size(rs, DESIRED_REPLICAS) for rs in active(replica_sets))
    return any(size is not None and size != replicas(deployment) for size in noted)


def size_of_new(deployment: apps_pb2.Deployment, present: int, old: ReplicaSets) -> int:
    """Say how large the new ReplicaSet may be, that asks for ``present`` pods.

    Old ReplicaSets take room with the pods that they ask for and with those that they still have. As long as one has
    not seen that it shrank, their number is not known, and the new one waits. So there are never more pods than the
    surge allows; upstream counts only what is asked for.
    """
    wanted = replicas(deployment)
    if present >= wanted or not is_rolling(deployment):
        return wanted
    if not _all_settled(old):
        return present
    room = wanted + max_surge(deployment) - present - total(old) - _lingering(old)
    return present + max(min(room, wanted - present), 0)


def _all_settled(replica_sets: Iterable[apps_pb2.ReplicaSet]) -> bool:
    """Say whether every ReplicaSet has seen its present size: then its status counts all of its pods."""
    return all(rs.status.observedGeneration >= rs.metadata.generation for rs in replica_sets)


def _lingering(replica_sets: Iterable[apps_pb2.ReplicaSet]) -> int:
    """Count the pods that ReplicaSets have and no longer ask for."""
    return sum(max(rs.status.replicas - replicas(rs), 0) for rs in replica_sets)


def rolling(deployment: apps_pb2.Deployment, new: apps_pb2.ReplicaSet, old: ReplicaSets) -> list[Scaling]:
    """Take the next step of a rolling update: the new ReplicaSet grows as far as the surge allows; when it cannot, the
    old ones shrink as far as availability allows."""
    size = size_of_new(deployment, replicas(new), old)
    if size != replicas(new):
        return [Scaling(new, size)]
    return _shrunk(deployment, new, by_age(active(old)))


def _shrunk(deployment: apps_pb2.Deployment, new: apps_pb2.ReplicaSet, old: ReplicaSets) -> list[Scaling]:
    """Shrink the old ReplicaSets: pods that are not available first, for they are no loss."""
    must_stay = replicas(deployment) - max_unavailable(deployment)
    new_unavailable = replicas(new) - new.status.availableReplicas
    spare = total([new, *old]) - must_stay - new_unavailable
    if spare <= 0:
        return []
    sizes = {rs.metadata.uid: replicas(rs) for rs in old}
    for rs in old:
        unhealthy = min(max(replicas(rs) - rs.status.availableReplicas, 0), spare)
        sizes[rs.metadata.uid] -= unhealthy
        spare -= unhealthy
    # A ReplicaSet that has not shrunk yet has more available pods than it will keep.
    available = sum(min(rs.status.availableReplicas, replicas(rs)) for rs in (new, *old)) - must_stay
    spare = min(spare, max(available, 0))
    for rs in old:
        healthy = min(sizes[rs.metadata.uid], spare)
        sizes[rs.metadata.uid] -= healthy
        spare -= healthy
    return [Scaling(rs, sizes[rs.metadata.uid]) for rs in old if sizes[rs.metadata.uid] != replicas(rs)]


def recreating(
    deployment: apps_pb2.Deployment,
    new: apps_pb2.ReplicaSet | None,
    old: ReplicaSets,
    old_pods: Iterable[core_pb2.Pod],
) -> list[Scaling] | None:
    """Take the next step of strategy Recreate: first the old ReplicaSets shrink to nothing, then the new one grows.
    None while pods of the old ones are still there."""
    if active(old):
        return [Scaling(rs, 0) for rs in active(old)]
    if any(not is_terminal(pod) for pod in old_pods):
        return None
    if new is None or replicas(new) == replicas(deployment):
        return []
    return [Scaling(new, replicas(deployment))]


def proportional(deployment: apps_pb2.Deployment, new: apps_pb2.ReplicaSet | None, old: ReplicaSets) -> list[Scaling]:
    """Follow a Deployment that was scaled. Amidst a rollout each ReplicaSet gets its share, so that a change which may
    be bad does not spread faster."""
    sets = [*old, new] if new is not None else [*old]
    alive, wanted = active(sets), replicas(deployment)
    if len(alive) <= 1:
        only = alive[0] if alive else new or (old[-1] if old else None)
        if only is None:
            return []
        others = [rs for rs in sets if rs is not only]
        return [Scaling(only, size_of_new(deployment, replicas(only), others))]
    if new is not None and _is_saturated(deployment, new):
        return [Scaling(rs, 0) for rs in active(old)] + [Scaling(new, wanted)]
    return _shares(deployment, sets, alive) if is_rolling(deployment) else []


def _is_saturated(deployment: apps_pb2.Deployment, new: apps_pb2.ReplicaSet) -> bool:
    """Say whether the new ReplicaSet has all that the Deployment asks for, and asked for when it was scaled."""
    sizes = (replicas(new), noted_size(new, DESIRED_REPLICAS), new.status.availableReplicas)
    return all(size == replicas(deployment) for size in sizes)


def _shares(deployment: apps_pb2.Deployment, sets: ReplicaSets, alive: list[apps_pb2.ReplicaSet]) -> list[Scaling]:
    wanted = replicas(deployment)
    allowed = wanted + max_surge(deployment) if wanted else 0
    missing = left = allowed - total(alive)
    if missing > 0:
        if not _all_settled(sets):
            return []
        missing = left = max(missing - _lingering(sets), 0)
    # Of the same size, newer ones grow first and older ones shrink first.
    alive = by_age(alive) if missing < 0 else by_age(alive)[::-1]
    alive.sort(key=replicas, reverse=True)
    sizes: list[int] = []
    for rs in alive:
        share = _share(deployment, rs) if left else 0
        share = min(share, left) if missing > 0 else max(share, left) if missing < 0 else 0
        sizes.append(replicas(rs) + share)
        left -= share
    sizes[0] = max(sizes[0] + left, 0)  # the largest takes what rounding left
    return [Scaling(rs, size) for rs, size in zip(alive, sizes, strict=True)]


def _share(deployment: apps_pb2.Deployment, rs: apps_pb2.ReplicaSet) -> int:
    """Work out by how much a ReplicaSet grows or shrinks with its Deployment."""
    wanted = replicas(deployment)
    if not wanted:
        return -replicas(rs)
    was = noted_size(rs, MAX_REPLICAS) or deployment.status.replicas
    if not was:
        return 0
    return math.floor(replicas(rs) * (wanted + max_surge(deployment)) / was + 0.5) - replicas(rs)


def superfluous(deployment: apps_pb2.Deployment, old: ReplicaSets) -> list[apps_pb2.ReplicaSet]:
    """Give the old ReplicaSets that the history has no room for; those that still have pods stay."""
    limit = deployment.spec.revisionHistoryLimit
    if not deployment.spec.HasField("revisionHistoryLimit") or limit == UNLIMITED:
        return []
    kept = [rs for rs in old if not is_terminating(rs)]
    kept.sort(key=lambda rs: (revision(rs), rs.metadata.creationTimestamp.seconds))
    return [rs for rs in kept[: max(len(kept) - limit, 0)] if _is_empty(rs)]


def _is_empty(rs: apps_pb2.ReplicaSet) -> bool:
    return not (rs.status.replicas or replicas(rs)) and rs.metadata.generation <= rs.status.observedGeneration
