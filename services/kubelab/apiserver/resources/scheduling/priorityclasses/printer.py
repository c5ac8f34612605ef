"""The cells of a row of priority classes, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.scheduling.v1 import scheduling_pb2
from kubelab.apiserver.printers.cells import age


def row(priority_class: scheduling_pb2.PriorityClass, now: float) -> list[str]:
    return [
        priority_class.metadata.name,
        str(priority_class.value),
        str(priority_class.globalDefault).lower(),
        age(priority_class.metadata.creationTimestamp, now),
        priority_class.preemptionPolicy,
    ]
