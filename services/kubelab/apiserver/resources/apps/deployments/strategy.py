"""Deployments: what a ReplicaSet has, and how one template replaces another (upstream: pkg/registry/apps/deployment and
ValidateDeploymentSpec)."""

from __future__ import annotations

from typing import ClassVar

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import intstr
from kubelab.apimachinery.apps.deployments import RECREATE, ROLLING_UPDATE
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.resources.apps.replicasets import strategy as replicasets
from kubelab.apiserver.strategies import causes, intorpercent, labelselectors, podtemplate, replicas
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.strategies.metadata import next_generation

_TEMPLATE = "spec.template"
_SHARE = "25%"
_OF_REPLICAS = ("updatedReplicas", "readyReplicas", "availableReplicas")
_COUNTS = ("observedGeneration", "replicas", *_OF_REPLICAS, "unavailableReplicas", "collisionCount")


class DeploymentStrategy(Strategy[apps_pb2.Deployment]):
    has_generation: ClassVar[bool] = True
    warns_of_updates: ClassVar[bool] = True

    def default(self, obj: apps_pb2.Deployment) -> None:
        spec = obj.spec
        if not spec.HasField("replicas"):
            spec.replicas = 1
        if not spec.strategy.type:
            spec.strategy.type = ROLLING_UPDATE
        if spec.strategy.type == ROLLING_UPDATE:
            rolling = spec.strategy.rollingUpdate
            rolling.SetInParent()
            if not rolling.HasField("maxUnavailable"):
                rolling.maxUnavailable.CopyFrom(intstr.from_string(_SHARE))
            if not rolling.HasField("maxSurge"):
                rolling.maxSurge.CopyFrom(intstr.from_string(_SHARE))
        if not spec.HasField("revisionHistoryLimit"):
            spec.revisionHistoryLimit = 10
        if not spec.HasField("progressDeadlineSeconds"):
            spec.progressDeadlineSeconds = 600
        podtemplate.default(spec.template)

    def prepare_for_update(self, obj: apps_pb2.Deployment, old: apps_pb2.Deployment) -> None:
        """Count changes of the annotations too: they belong to the revision."""
        super().prepare_for_update(obj, old)
        if obj.spec == old.spec and obj.metadata.annotations != old.metadata.annotations:
            obj.metadata.generation = next_generation(old.metadata.generation)

    def prepare_for_status_update(self, obj: apps_pb2.Deployment, old: apps_pb2.Deployment) -> None:
        """Take the annotations over with the status: the controller writes the revision there."""
        annotations = dict(obj.metadata.annotations)
        super().prepare_for_status_update(obj, old)
        obj.metadata.annotations.clear()
        obj.metadata.annotations.update(annotations)

    def warnings(self, obj: apps_pb2.Deployment) -> list[str]:
        return podtemplate.warnings(obj.metadata.name, obj.spec.template, _TEMPLATE) + super().warnings(obj)

    def validate_content(self, obj: apps_pb2.Deployment) -> list[Cause]:
        spec = obj.spec
        complaints = causes.non_negative("spec.replicas", spec.replicas)
        complaints += replicasets.pods(spec)
        complaints += _strategy(spec.strategy, "spec.strategy")
        complaints += causes.non_negative("spec.minReadySeconds", spec.minReadySeconds)
        complaints += causes.non_negative("spec.revisionHistoryLimit", spec.revisionHistoryLimit)
        if spec.HasField("progressDeadlineSeconds"):
            deadline = spec.progressDeadlineSeconds
            complaints += causes.non_negative("spec.progressDeadlineSeconds", deadline)
            if deadline <= spec.minReadySeconds:
                message = "must be greater than minReadySeconds"
                complaints.append(causes.invalid("spec.progressDeadlineSeconds", deadline, message))
        return complaints

    def validate_change(self, obj: apps_pb2.Deployment, old: apps_pb2.Deployment) -> list[Cause]:
        return labelselectors.immutable(obj.spec.selector, old.spec.selector, "spec.selector")

    def validate_status_update(self, obj: apps_pb2.Deployment, old: apps_pb2.Deployment) -> list[Cause]:
        complaints = super().validate_status_update(obj, old)
        complaints += replicas.counts(obj.status, _COUNTS, _OF_REPLICAS)
        if obj.status.collisionCount < old.status.collisionCount:
            message = "cannot be decremented"
            complaints.append(causes.invalid("status.collisionCount", obj.status.collisionCount, message))
        return complaints


def _strategy(strategy: apps_pb2.DeploymentStrategy, field: str) -> list[Cause]:
    here, rolling = f"{field}.rollingUpdate", strategy.rollingUpdate
    match strategy.type:
        case "Recreate":
            if strategy.HasField("rollingUpdate"):
                return [causes.forbidden(here, "may not be specified when strategy `type` is 'Recreate'")]
            return []
        case "RollingUpdate":
            return _rolling(rolling, here)
        case unknown:
            update = "(0xc000000000)" if strategy.HasField("rollingUpdate") else "(nil)"  # Go prints a pointer
            shown = f"apps.DeploymentStrategy{{Type:{causes.quoted(unknown)}, RollingUpdate:"
            shown += f"(*apps.RollingUpdateDeployment){update}}}"
            return [causes.unsupported(field, causes.Raw(shown), (RECREATE, ROLLING_UPDATE))]


def _rolling(rolling: apps_pb2.RollingUpdateDeployment, field: str) -> list[Cause]:
    unavailable = f"{field}.maxUnavailable"
    complaints = intorpercent.not_negative(unavailable, rolling.maxUnavailable)
    complaints += intorpercent.not_negative(f"{field}.maxSurge", rolling.maxSurge)
    if intorpercent.is_zero(rolling.maxUnavailable) and intorpercent.is_zero(rolling.maxSurge):
        message = "may not be 0 when `maxSurge` is 0"
        complaints.append(causes.invalid(unavailable, intorpercent.shown(rolling.maxUnavailable), message))
    return complaints + intorpercent.at_most_all(unavailable, rolling.maxUnavailable)
