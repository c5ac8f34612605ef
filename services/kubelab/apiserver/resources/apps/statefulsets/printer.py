"""The cells of a row of stateful sets, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apiserver.printers.cells import age


def row(stateful_set: apps_pb2.StatefulSet, now: float) -> list[str]:
    containers = stateful_set.spec.template.spec.containers
    return [
        stateful_set.metadata.name,
        f"{stateful_set.status.readyReplicas}/{stateful_set.spec.replicas}",
        age(stateful_set.metadata.creationTimestamp, now),
        ",".join(c.name for c in containers),
        ",".join(c.image for c in containers),
    ]
