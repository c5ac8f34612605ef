"""The cells of a row of daemon sets, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apiserver.printers.cells import age, pairs


def row(daemon_set: apps_pb2.DaemonSet, now: float) -> list[str]:
    pod, status = daemon_set.spec.template.spec, daemon_set.status
    return [
        daemon_set.metadata.name,
        str(status.desiredNumberScheduled),
        str(status.currentNumberScheduled),
        str(status.numberReady),
        str(status.updatedNumberScheduled),
        str(status.numberAvailable),
        pairs(pod.nodeSelector),
        age(daemon_set.metadata.creationTimestamp, now),
        ",".join(c.name for c in pod.containers),
        ",".join(c.image for c in pod.containers),
        labelselectors.text(daemon_set.spec.selector),
    ]
