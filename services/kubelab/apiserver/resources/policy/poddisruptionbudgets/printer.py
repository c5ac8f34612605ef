"""The cells of a row of disruption budgets, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery import intstr
from kubelab.apiserver.printers.cells import age


def row(budget: policy_pb2.PodDisruptionBudget, now: float) -> list[str]:
    spec = budget.spec
    return [
        budget.metadata.name,
        intstr.text(spec.minAvailable) if spec.HasField("minAvailable") else "N/A",
        intstr.text(spec.maxUnavailable) if spec.HasField("maxUnavailable") else "N/A",
        str(budget.status.disruptionsAllowed),
        age(budget.metadata.creationTimestamp, now),
    ]
