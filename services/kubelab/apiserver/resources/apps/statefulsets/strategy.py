"""StatefulSets: how many pods, in what order, and what may change (upstream: pkg/registry/apps/statefulset and
ValidateStatefulSetSpec)."""

from __future__ import annotations

from typing import ClassVar

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import intstr, marks
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apiserver.strategies import causes, intorpercent, labelselectors, podtemplate, replicas
from kubelab.apiserver.strategies.base import Strategy

_TEMPLATE = "spec.template"
ORDERED_READY, PARALLEL = "OrderedReady", "Parallel"
ON_DELETE, ROLLING_UPDATE = "OnDelete", "RollingUpdate"
RETENTION = ("Retain", "Delete")
_OF_REPLICAS = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
_COUNTS = ("replicas", *_OF_REPLICAS, "observedGeneration", "collisionCount")
_MAY_CHANGE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


class StatefulSetStrategy(Strategy[apps_pb2.StatefulSet]):
    has_generation: ClassVar[bool] = True
    warns_of_updates: ClassVar[bool] = True

    def default(self, obj: apps_pb2.StatefulSet) -> None:
        spec = obj.spec
        spec.podManagementPolicy = spec.podManagementPolicy or ORDERED_READY
        update = spec.updateStrategy
        if not update.type:
            update.type = ROLLING_UPDATE
            update.rollingUpdate.SetInParent()
        rolling = update.HasField("rollingUpdate") and update.type == ROLLING_UPDATE
        if rolling and not update.rollingUpdate.HasField("partition"):
            update.rollingUpdate.partition = 0
        retention = spec.persistentVolumeClaimRetentionPolicy
        retention.whenDeleted = retention.whenDeleted or "Retain"
        retention.whenScaled = retention.whenScaled or "Retain"
        if not spec.HasField("replicas"):
            spec.replicas = 1
        if not spec.HasField("revisionHistoryLimit"):
            spec.revisionHistoryLimit = 10
        podtemplate.default(spec.template)

    def warnings(self, obj: apps_pb2.StatefulSet) -> list[str]:
        told = podtemplate.warnings(obj.metadata.name, obj.spec.template, _TEMPLATE)
        if obj.spec.HasField("revisionHistoryLimit") and obj.spec.revisionHistoryLimit < 0:
            told.append(
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 "
                "is recommended"
            )
        retention = obj.spec.persistentVolumeClaimRetentionPolicy
        if "Delete" in (retention.whenDeleted, retention.whenScaled):  # the default asks for nothing
            told.append(f"spec.persistentVolumeClaimRetentionPolicy: {marks.STORED}")
        return told + super().warnings(obj)

    def validate_content(self, obj: apps_pb2.StatefulSet) -> list[Cause]:
        spec = obj.spec
        complaints: list[Cause] = []
        if spec.podManagementPolicy not in (ORDERED_READY, PARALLEL):
            message = f"must be '{ORDERED_READY}' or '{PARALLEL}'"
            complaints.append(causes.invalid("spec.podManagementPolicy", spec.podManagementPolicy, message))
        complaints += _update_strategy(spec.updateStrategy, "spec.updateStrategy")
        retention = spec.persistentVolumeClaimRetentionPolicy
        for name, value in (("whenDeleted", retention.whenDeleted), ("whenScaled", retention.whenScaled)):
            if value not in RETENTION:
                field = f"spec.persistentVolumeClaimRetentionPolicy.{name}"
                complaints.append(causes.unsupported(field, value, RETENTION))
        complaints += causes.non_negative("spec.replicas", spec.replicas)
        complaints += causes.non_negative("spec.minReadySeconds", spec.minReadySeconds)
        complaints += causes.non_negative("spec.ordinals.start", spec.ordinals.start)
        complaints += labelselectors.of_workload(spec, "spec", "statefulset")
        complaints += podtemplate.validate(spec.template, _TEMPLATE)
        complaints += podtemplate.restart_policy(spec.template, _TEMPLATE)
        return complaints + podtemplate.active_deadline(spec.template, _TEMPLATE, "StatefulSet")

    def validate_change(self, obj: apps_pb2.StatefulSet, old: apps_pb2.StatefulSet) -> list[Cause]:
        allowed = deep_copy(obj.spec)
        for name in ("replicas", "minReadySeconds"):
            setattr(allowed, name, getattr(old.spec, name))
        allowed.template.CopyFrom(old.spec.template)
        allowed.updateStrategy.CopyFrom(old.spec.updateStrategy)
        allowed.persistentVolumeClaimRetentionPolicy.CopyFrom(old.spec.persistentVolumeClaimRetentionPolicy)
        allowed.ClearField("ordinals")
        if old.spec.HasField("ordinals"):
            allowed.ordinals.CopyFrom(old.spec.ordinals)
        return [causes.forbidden("spec", _MAY_CHANGE)] if allowed != old.spec else []

    def validate_status_update(self, obj: apps_pb2.StatefulSet, old: apps_pb2.StatefulSet) -> list[Cause]:
        complaints = super().validate_status_update(obj, old) + replicas.counts(obj.status, _COUNTS, _OF_REPLICAS)
        if obj.status.collisionCount < old.status.collisionCount:
            message = "cannot be decremented"
            complaints.append(causes.invalid("status.collisionCount", obj.status.collisionCount, message))
        return complaints


def _update_strategy(strategy: apps_pb2.StatefulSetUpdateStrategy, field: str) -> list[Cause]:
    here, rolling = f"{field}.rollingUpdate", strategy.rollingUpdate
    match strategy.type:
        case "OnDelete":
            if not strategy.HasField("rollingUpdate"):
                return []
            shown = causes.Raw("apps.RollingUpdateStatefulSetStrategy{…}")
            return [causes.invalid(here, shown, f"only allowed for updateStrategy '{ROLLING_UPDATE}'")]
        case "RollingUpdate":
            complaints = causes.non_negative(f"{here}.partition", rolling.partition)
            if rolling.HasField("maxUnavailable"):
                value, place = rolling.maxUnavailable, f"{here}.maxUnavailable"
                complaints += intorpercent.not_negative(place, value) + intorpercent.at_most_all(place, value)
                if intorpercent.is_zero(value):
                    complaints.append(causes.invalid(place, intstr.text(value), "cannot be 0"))
            return complaints
        case _:
            shown = causes.Raw(f"apps.StatefulSetUpdateStrategy{{Type:{causes.quoted(strategy.type)}…}}")
            return [causes.invalid(field, shown, f"must be '{ROLLING_UPDATE}' or '{ON_DELETE}'")]
