"""Priority classes: their values, and the two that the system keeps for itself (upstream: ValidatePriorityClass)."""

from __future__ import annotations

from kubelab.api.scheduling.v1 import scheduling_pb2
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.priorities import HIGHEST_USER_DEFINABLE, SYSTEM, SYSTEM_PREFIX
from kubelab.apiserver.strategies import causes, podspec
from kubelab.apiserver.strategies.base import Strategy


class PriorityClassStrategy(Strategy[scheduling_pb2.PriorityClass]):
    def default(self, obj: scheduling_pb2.PriorityClass) -> None:
        if not obj.HasField("preemptionPolicy"):
            obj.preemptionPolicy = "PreemptLowerPriority"

    def prepare_for_create(self, obj: scheduling_pb2.PriorityClass) -> None:
        super().prepare_for_create(obj)
        obj.metadata.generation = 1  # as upstream, which counts no change of it

    def validate_content(self, obj: scheduling_pb2.PriorityClass) -> list[Cause]:
        complaints: list[Cause] = []
        if obj.metadata.name.startswith(SYSTEM_PREFIX):
            if problem := _not_of_the_system(obj):
                message = (
                    f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: "
                )
                complaints.append(causes.forbidden("metadata.name", message + problem))
        elif obj.value > HIGHEST_USER_DEFINABLE:
            message = f"maximum allowed value of a user defined priority is {HIGHEST_USER_DEFINABLE}"
            complaints.append(causes.forbidden("value", message))
        if obj.preemptionPolicy not in podspec.PREEMPTION_POLICIES:
            policy = obj.preemptionPolicy
            complaints.append(causes.unsupported("preemptionPolicy", policy, podspec.PREEMPTION_POLICIES))
        return complaints

    def validate_change(self, obj: scheduling_pb2.PriorityClass, old: scheduling_pb2.PriorityClass) -> list[Cause]:
        complaints: list[Cause] = []
        if obj.value != old.value:
            complaints.append(causes.forbidden("value", "may not be changed in an update."))
        if obj.preemptionPolicy != old.preemptionPolicy:
            complaints.append(causes.immutable("preemptionPolicy", obj.preemptionPolicy))
        return complaints


def _not_of_the_system(obj: scheduling_pb2.PriorityClass) -> str:
    """Say why a class with a name of the system's is not the system's."""
    name = obj.metadata.name
    if name not in SYSTEM:
        return f"{name} is not a known system priority class"
    if obj.value != SYSTEM[name]:
        return f"value of {name} PriorityClass must be {SYSTEM[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if obj.globalDefault else ""
