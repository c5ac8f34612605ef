"""What the conditions of both kinds have to be."""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.api.flowcontrol.v1 import flowcontrol_pb2
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes


def validate(
    conditions: Iterable[flowcontrol_pb2.FlowSchemaCondition | flowcontrol_pb2.PriorityLevelConfigurationCondition],
) -> list[Cause]:
    """All complaints about a status: each type is there once."""
    complaints: list[Cause] = []
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        field = f"status.conditions[{i}].type"
        if condition.type in seen:
            complaints.append(causes.duplicate(field, condition.type))
        seen.add(condition.type)
        if not condition.type:
            complaints.append(causes.required(field, "must not be empty"))
    return complaints
