"""The cells of a row of replicationcontrollers, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apiserver.printers.cells import age, pairs


def row(rc: core_pb2.ReplicationController, now: float) -> list[str]:
    containers = rc.spec.template.spec.containers
    return [
        rc.metadata.name,
        str(rc.spec.replicas),
        str(rc.status.replicas),
        str(rc.status.readyReplicas),
        age(rc.metadata.creationTimestamp, now),
        ",".join(c.name for c in containers),
        ",".join(c.image for c in containers),
        pairs(rc.spec.selector),
    ]
