"""Disruption budgets: one bound, a count or a percentage (upstream: ValidatePodDisruptionBudgetSpec)."""

from __future__ import annotations

from typing import ClassVar

from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, intorpercent, labelselectors
from kubelab.apiserver.strategies.base import Strategy

UNHEALTHY_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


class PodDisruptionBudgetStrategy(Strategy[policy_pb2.PodDisruptionBudget]):
    has_generation: ClassVar[bool] = True

    def validate_content(self, obj: policy_pb2.PodDisruptionBudget) -> list[Cause]:
        spec = obj.spec
        complaints: list[Cause] = []
        if spec.HasField("minAvailable") and spec.HasField("maxUnavailable"):
            message = "minAvailable and maxUnavailable cannot be both set"
            complaints.append(causes.invalid("spec", causes.Raw("policy.PodDisruptionBudgetSpec{…}"), message))
        if spec.HasField("minAvailable"):
            complaints += intorpercent.not_negative("spec.minAvailable", spec.minAvailable)
            complaints += intorpercent.at_most_all("spec.minAvailable", spec.minAvailable)
        if spec.HasField("maxUnavailable"):
            complaints += intorpercent.not_negative("spec.maxUnavailable", spec.maxUnavailable)
            complaints += intorpercent.at_most_all("spec.maxUnavailable", spec.maxUnavailable)
        complaints += labelselectors.validate(spec.selector, "spec.selector")
        policy = spec.unhealthyPodEvictionPolicy
        if spec.HasField("unhealthyPodEvictionPolicy") and policy not in UNHEALTHY_POLICIES:
            complaints.append(causes.unsupported("spec.unhealthyPodEvictionPolicy", policy, UNHEALTHY_POLICIES))
        return complaints

    def validate_status_update(
        self, obj: policy_pb2.PodDisruptionBudget, old: policy_pb2.PodDisruptionBudget
    ) -> list[Cause]:
        complaints = super().validate_status_update(obj, old)
        status = obj.status
        for name, number in (
            ("disruptionsAllowed", status.disruptionsAllowed),
            ("currentHealthy", status.currentHealthy),
            ("desiredHealthy", status.desiredHealthy),
            ("expectedPods", status.expectedPods),
        ):
            complaints += causes.non_negative(f"status.{name}", number)
        return complaints
