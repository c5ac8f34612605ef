"""The cells of a row of replicasets, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apiserver.printers.cells import age


def row(replica_set: apps_pb2.ReplicaSet, now: float) -> list[str]:
    containers = replica_set.spec.template.spec.containers
    return [
        replica_set.metadata.name,
        str(replica_set.spec.replicas),
        str(replica_set.status.replicas),
        str(replica_set.status.readyReplicas),
        age(replica_set.metadata.creationTimestamp, now),
        ",".join(c.name for c in containers),
        ",".join(c.image for c in containers),
        labelselectors.text(replica_set.spec.selector),
    ]
