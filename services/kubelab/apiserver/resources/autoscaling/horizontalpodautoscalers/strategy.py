"""Horizontal pod autoscalers: bounds and metrics (upstream's ValidateHorizontalPodAutoscaler)."""

from __future__ import annotations

from kubelab.api.autoscaling.v2 import autoscaling_pb2 as pb
from kubelab.apimachinery import names, quantity
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy

CPU_UTILIZATION = 80
_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_TARGETS = ("AverageValue", "Utilization", "Value")
_SELECT = ("Disabled", "Max", "Min")
MAX_WINDOW, MAX_PERIOD = 3600, 1800


class HorizontalPodAutoscalerStrategy(Strategy[pb.HorizontalPodAutoscaler]):
    def default(self, obj: pb.HorizontalPodAutoscaler) -> None:
        spec = obj.spec
        if not spec.HasField("minReplicas"):
            spec.minReplicas = 1
        if not spec.metrics:
            metric = spec.metrics.add(type="Resource")
            metric.resource.name = "cpu"
            metric.resource.target.type = "Utilization"
            metric.resource.target.averageUtilization = CPU_UTILIZATION
        if spec.HasField("behavior"):
            up, down = spec.behavior.scaleUp, spec.behavior.scaleDown
            _default_rules(up, (("Pods", 4), ("Percent", 100)))
            if not up.HasField("stabilizationWindowSeconds"):
                up.stabilizationWindowSeconds = 0
            _default_rules(down, (("Percent", 100),))

    def validate_content(self, obj: pb.HorizontalPodAutoscaler) -> list[Cause]:
        spec, complaints = obj.spec, list[Cause]()
        if spec.minReplicas < 1:
            complaints.append(
                causes.invalid("spec.minReplicas", spec.minReplicas, "must be greater than or equal to 1")
            )
        if spec.maxReplicas < 1:
            complaints.append(causes.invalid("spec.maxReplicas", spec.maxReplicas, "must be greater than 0"))
        if spec.maxReplicas < spec.minReplicas:
            why = "must be greater than or equal to `minReplicas`"
            complaints.append(causes.invalid("spec.maxReplicas", spec.maxReplicas, why))
        complaints += _reference(spec.scaleTargetRef, "spec.scaleTargetRef")
        for number, metric in enumerate(spec.metrics):
            complaints += _metric(metric, f"spec.metrics[{number}]")
        for side in ("scaleUp", "scaleDown"):
            if spec.behavior.HasField(side):
                complaints += _rules(getattr(spec.behavior, side), f"spec.behavior.{side}")
        return complaints


def _default_rules(rules: pb.HPAScalingRules, policies: tuple[tuple[str, int], ...]) -> None:
    rules.SetInParent()
    if not rules.HasField("selectPolicy"):
        rules.selectPolicy = "Max"
    if not rules.policies:
        for kind, value in policies:
            rules.policies.add(type=kind, value=value, periodSeconds=15)


def _reference(reference: pb.CrossVersionObjectReference, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    for part in ("kind", "name"):
        text: str = getattr(reference, part)
        if not text:
            complaints.append(causes.required(f"{field}.{part}"))
        else:
            complaints += causes.each(f"{field}.{part}", text, names.path_segment(text))
    return complaints


def _metric(metric: pb.MetricSpec, field: str) -> list[Cause]:
    if not metric.type:
        return [causes.required(f"{field}.type", "must specify a metric source type")]
    if metric.type not in _SOURCES:
        return [causes.unsupported(f"{field}.type", metric.type, sorted(_SOURCES))]
    given = [part for part in _SOURCES.values() if metric.HasField(part)]  # pyright: ignore[reportArgumentType]
    wanted = _SOURCES[metric.type]
    complaints = [
        causes.forbidden(f"{field}.{part}", "must populate the given metric source only")
        for part in given
        if part != wanted
    ]
    if wanted not in given:
        what = "must populate information for the given metric source"
        return [*complaints, causes.required(f"{field}.{wanted}", what)]
    return complaints + _source(metric.type, getattr(metric, wanted), f"{field}.{wanted}")


def _source(kind: str, source: pb.ResourceMetricSource, field: str) -> list[Cause]:
    """Look at one source; all have a target, and either a resource's name or a metric's."""
    complaints = _target(source.target, f"{field}.target")
    target = source.target
    if kind in ("Resource", "ContainerResource"):
        if not source.name:
            complaints.append(causes.required(f"{field}.name", "must specify a resource name"))
        both = target.HasField("averageUtilization"), target.HasField("averageValue")
        if both == (False, False):
            why = "must set either a target raw value or a target utilization"
            complaints.append(causes.required(f"{field}.target.averageUtilization", why))
        elif both == (True, True):
            why = "may not set both a target raw value and a target utilization"
            complaints.append(causes.forbidden(f"{field}.target.averageValue", why))
        return complaints
    if not source.metric.name:  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  of the other three
        complaints.append(causes.required(f"{field}.metric.name", "must specify a metric name"))
    if kind == "Pods" and not target.HasField("averageValue"):
        complaints.append(
            causes.required(f"{field}.target.averageValue", "must specify a positive target averageValue")
        )
    if kind != "Pods" and not (target.HasField("value") or target.HasField("averageValue")):
        complaints.append(
            causes.required(f"{field}.target.averageValue", "must set either a target value or averageValue")
        )
    return complaints


def _target(target: pb.MetricTarget, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    if not target.type:
        complaints.append(causes.required(f"{field}.type", "must specify a metric target type"))
    elif target.type not in _TARGETS:
        what = "must be either Utilization, Value, or AverageValue"
        complaints.append(causes.invalid(f"{field}.type", target.type, what))
    if target.HasField("averageUtilization") and target.averageUtilization < 1:
        value = target.averageUtilization
        complaints.append(causes.invalid(f"{field}.averageUtilization", value, "must be greater than 0"))
    for part in ("value", "averageValue"):
        if target.HasField(part):
            text: str = getattr(target, part).string
            if quantity.amount(text) <= 0:
                complaints.append(causes.invalid(f"{field}.{part}", text, "must be positive"))
    return complaints


def _rules(rules: pb.HPAScalingRules, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    if rules.HasField("stabilizationWindowSeconds"):
        seconds = rules.stabilizationWindowSeconds
        complaints += causes.non_negative(f"{field}.stabilizationWindowSeconds", seconds)
        if seconds > MAX_WINDOW:
            why = f"must be less than or equal to {MAX_WINDOW}"
            complaints.append(causes.invalid(f"{field}.stabilizationWindowSeconds", seconds, why))
    if rules.HasField("selectPolicy") and rules.selectPolicy not in _SELECT:
        complaints.append(causes.unsupported(f"{field}.selectPolicy", rules.selectPolicy, _SELECT))
    for number, policy in enumerate(rules.policies):
        here = f"{field}.policies[{number}]"
        if policy.type not in ("Percent", "Pods"):
            complaints.append(causes.unsupported(f"{here}.type", policy.type, ("Percent", "Pods")))
        if policy.value <= 0:
            complaints.append(causes.invalid(f"{here}.value", policy.value, "must be greater than zero"))
        if policy.periodSeconds <= 0:
            complaints.append(
                causes.invalid(f"{here}.periodSeconds", policy.periodSeconds, "must be greater than zero")
            )
        elif policy.periodSeconds > MAX_PERIOD:
            why = f"must be less than or equal to {MAX_PERIOD}"
            complaints.append(causes.invalid(f"{here}.periodSeconds", policy.periodSeconds, why))
    return complaints
