"""The annotation by which clients of the group ``extensions`` ask for a rollback: a pure function.

After ``rollback.go`` of upstream's deployment controller. kctl rolls back by itself, see ``kctl rollout undo``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery.apps.deployments import ROLLBACK_TO, last_revision, revision, roll_back, same_template
from kubelab.apimachinery.messages import deep_copy
from kubelab.client.events import EventKind

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


class Done(NamedTuple):
    """The Deployment to write, and the event that tells of it."""

    deployment: apps_pb2.Deployment
    kind: EventKind
    reason: str
    message: str


def wanted(deployment: apps_pb2.Deployment) -> int | None:
    """Give the revision that the annotation asks for, 0 for the last one; None where it is missing or no number."""
    text = deployment.metadata.annotations.get(ROLLBACK_TO, "")
    return int(text) if _NUMBER.fullmatch(text) else None


def rolled_back(deployment: apps_pb2.Deployment, replica_sets: Sequence[apps_pb2.ReplicaSet]) -> Done:
    """Give the Deployment the template of the revision that it asks for, where there is one and it is another."""
    changed = deep_copy(deployment)
    asked, name = wanted(deployment), deployment.metadata.name
    number = asked or last_revision(replica_sets)
    target = next((rs for rs in replica_sets if revision(rs) == number), None) if number else None
    if target is None:
        message = "Unable to find the revision to rollback to." if asked else "Unable to find last revision."
        done = Done(changed, "Warning", "DeploymentRollbackRevisionNotFound", message)
    elif same_template(target.spec.template, deployment.spec.template):
        message = f'The rollback revision contains the same template as current deployment "{name}"'
        done = Done(changed, "Warning", "DeploymentRollbackTemplateUnchanged", message)
    else:
        roll_back(changed, target)
        message = f'Rolled back deployment "{name}" to revision {number}'
        done = Done(changed, "Normal", "DeploymentRollback", message)
    changed.metadata.annotations.pop(ROLLBACK_TO, None)
    return done
