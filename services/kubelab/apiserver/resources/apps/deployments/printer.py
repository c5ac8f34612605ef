"""The cells of a row of deployments, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apiserver.printers.cells import age


def row(deployment: apps_pb2.Deployment, now: float) -> list[str]:
    containers, status = deployment.spec.template.spec.containers, deployment.status
    return [
        deployment.metadata.name,
        f"{status.readyReplicas}/{deployment.spec.replicas}",
        str(status.updatedReplicas),
        str(status.availableReplicas),
        age(deployment.metadata.creationTimestamp, now),
        ",".join(c.name for c in containers),
        ",".join(c.image for c in containers),
        labelselectors.text(deployment.spec.selector),
    ]
