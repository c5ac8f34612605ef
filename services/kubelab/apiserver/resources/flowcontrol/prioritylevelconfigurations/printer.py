"""The cells of a row of priority levels, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.flowcontrol.v1 import flowcontrol_pb2
from kubelab.apiserver.printers.cells import NONE, age


def row(level: flowcontrol_pb2.PriorityLevelConfiguration, now: float) -> list[str]:
    spec = level.spec
    response = spec.limited.limitResponse
    queuing = response.queuing if response.HasField("queuing") else None
    return [
        level.metadata.name,
        spec.type,
        str(spec.limited.nominalConcurrencyShares) if spec.HasField("limited") else NONE,
        str(queuing.queues) if queuing else NONE,
        str(queuing.handSize) if queuing else NONE,
        str(queuing.queueLengthLimit) if queuing else NONE,
        age(level.metadata.creationTimestamp, now),
    ]
