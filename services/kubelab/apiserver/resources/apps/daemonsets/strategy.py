"""DaemonSets: which pods, and how a new template replaces the old one (upstream: pkg/registry/apps/daemonset and
ValidateDaemonSetSpec)."""

from __future__ import annotations

from typing import ClassVar

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import intstr
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, intorpercent, labelselectors, podtemplate
from kubelab.apiserver.strategies.base import Strategy

_TEMPLATE = "spec.template"
GENERATION = "deprecated.daemonset.template.generation"
ON_DELETE, ROLLING_UPDATE = "OnDelete", "RollingUpdate"
_COUNTS = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
)


class DaemonSetStrategy(Strategy[apps_pb2.DaemonSet]):
    has_generation: ClassVar[bool] = True
    warns_of_updates: ClassVar[bool] = True

    def default(self, obj: apps_pb2.DaemonSet) -> None:
        update = obj.spec.updateStrategy
        update.type = update.type or ROLLING_UPDATE
        if update.type == ROLLING_UPDATE:
            rolling = update.rollingUpdate
            rolling.SetInParent()
            if not rolling.HasField("maxUnavailable"):
                rolling.maxUnavailable.CopyFrom(intstr.from_int(1))
            if not rolling.HasField("maxSurge"):
                rolling.maxSurge.CopyFrom(intstr.from_int(0))
        if not obj.spec.HasField("revisionHistoryLimit"):
            obj.spec.revisionHistoryLimit = 10
        podtemplate.default(obj.spec.template)

    def prepare_for_create(self, obj: apps_pb2.DaemonSet) -> None:
        super().prepare_for_create(obj)
        obj.metadata.annotations[GENERATION] = "1"

    def prepare_for_update(self, obj: apps_pb2.DaemonSet, old: apps_pb2.DaemonSet) -> None:
        """Count changes of the template, in the annotation that pods are labelled by."""
        super().prepare_for_update(obj, old)
        before = old.metadata.annotations.get(GENERATION, "")
        number = int(before) if before.isascii() and before.isdecimal() and len(before) < 19 else 0
        changed = obj.spec.template != old.spec.template
        obj.metadata.annotations[GENERATION] = str(number + changed)

    def warnings(self, obj: apps_pb2.DaemonSet) -> list[str]:
        return podtemplate.warnings(obj.metadata.name, obj.spec.template, _TEMPLATE) + super().warnings(obj)

    def validate_content(self, obj: apps_pb2.DaemonSet) -> list[Cause]:
        spec = obj.spec
        complaints = labelselectors.of_workload(spec, "spec", "daemonset")
        complaints += podtemplate.validate(spec.template, _TEMPLATE)
        complaints += podtemplate.restart_policy(spec.template, _TEMPLATE)
        complaints += podtemplate.active_deadline(spec.template, _TEMPLATE, "DaemonSet")
        complaints += causes.non_negative("spec.minReadySeconds", spec.minReadySeconds)
        complaints += _update_strategy(spec.updateStrategy, "spec.updateStrategy")
        return complaints + causes.non_negative("spec.revisionHistoryLimit", spec.revisionHistoryLimit)

    def validate_change(self, obj: apps_pb2.DaemonSet, old: apps_pb2.DaemonSet) -> list[Cause]:
        return labelselectors.immutable(obj.spec.selector, old.spec.selector, "spec.selector")

    def validate_status_update(self, obj: apps_pb2.DaemonSet, old: apps_pb2.DaemonSet) -> list[Cause]:
        complaints = super().validate_status_update(obj, old)
        for name in _COUNTS:
            complaints += causes.non_negative(f"status.{name}", getattr(obj.status, name))
        if obj.status.collisionCount < old.status.collisionCount:
            message = "cannot be decremented"
            complaints.append(causes.invalid("status.collisionCount", obj.status.collisionCount, message))
        return complaints


def _update_strategy(strategy: apps_pb2.DaemonSetUpdateStrategy, field: str) -> list[Cause]:
    if strategy.type == ON_DELETE:
        return []
    if strategy.type != ROLLING_UPDATE:
        return [causes.unsupported(f"{field}.type", strategy.type, (ON_DELETE, ROLLING_UPDATE))]
    here, rolling = f"{field}.rollingUpdate", strategy.rollingUpdate
    complaints: list[Cause] = []
    unavailable, surge = (not intorpercent.is_zero(v) for v in (rolling.maxUnavailable, rolling.maxSurge))
    if unavailable and surge:
        message = "may not be set when maxUnavailable is non-zero"
        complaints.append(causes.invalid(f"{here}.maxSurge", intorpercent.shown(rolling.maxSurge), message))
    elif not unavailable and not surge:
        complaints.append(causes.required(f"{here}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    for name, value in (("maxUnavailable", rolling.maxUnavailable), ("maxSurge", rolling.maxSurge)):
        complaints += intorpercent.not_negative(f"{here}.{name}", value)
        complaints += intorpercent.at_most_all(f"{here}.{name}", value)
    return complaints
