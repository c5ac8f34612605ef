"""The cells of a row of flow schemas, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.flowcontrol.v1 import flowcontrol_pb2
from kubelab.apiserver.flowcontrol.defaultobjects import DANGLING
from kubelab.apiserver.printers.cells import NONE, age


def row(schema: flowcontrol_pb2.FlowSchema, now: float) -> list[str]:
    spec = schema.spec
    missing = next((one.status for one in schema.status.conditions if one.type == DANGLING), "?")
    return [
        schema.metadata.name,
        spec.priorityLevelConfiguration.name,
        str(spec.matchingPrecedence),
        spec.distinguisherMethod.type if spec.HasField("distinguisherMethod") else NONE,
        age(schema.metadata.creationTimestamp, now),
        missing,
    ]
