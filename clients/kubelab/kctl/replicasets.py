"""The ReplicaSets of a Deployment, for its description and its rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.apps import deployments
from kubelab.apimachinery.meta import is_controlled_by

if TYPE_CHECKING:
    from kubelab.client.client import Client


async def replica_sets_of(client: Client, obj: apps_pb2.Deployment) -> list[apps_pb2.ReplicaSet]:
    """List the ReplicaSets that belong to a Deployment, by their age."""
    from kubelab.apimachinery.scheme import REPLICA_SETS

    selector = labelselectors.text(obj.spec.selector)
    listed = await client.list(REPLICA_SETS, obj.metadata.namespace, label_selector=selector)
    return deployments.by_age(rs for rs in listed.items if is_controlled_by(rs, obj))
