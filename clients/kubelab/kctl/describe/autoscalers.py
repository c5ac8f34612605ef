"""Horizontal pod autoscalers."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.autoscaling.v2 import autoscaling_pb2 as pb
from kubelab.api.core.v1 import core_pb2
from kubelab.kctl.describe import events
from kubelab.kctl.describe.writer import Writer, moment

_UNKNOWN = "<unknown>"


def describe(hpa: pb.HorizontalPodAutoscaler, object_events: Sequence[core_pb2.Event] | None, now: float) -> str:
    """Describe an autoscaler with what it aims at and why it does not."""
    w, m, spec, status = Writer(), hpa.metadata, hpa.spec, hpa.status
    w.field("Name", m.name)
    w.field("Namespace", m.namespace)
    w.labels("Labels", m.labels)
    w.annotations("Annotations", m.annotations)
    w.field("CreationTimestamp", moment(m.creationTimestamp))
    w.field("Reference", f"{spec.scaleTargetRef.kind}/{spec.scaleTargetRef.name}")
    w.field("Metrics", "( current / target )")
    for metric in spec.metrics:
        w.line(_metric(metric), 1)
    w.field("Min replicas", spec.minReplicas if spec.HasField("minReplicas") else "<unset>")
    w.field("Max replicas", spec.maxReplicas)
    if spec.HasField("behavior"):
        w.line("Behavior:")
        for title, rules in (("Scale Up", spec.behavior.scaleUp), ("Scale Down", spec.behavior.scaleDown)):
            _rules(w, title, rules)
    w.field(f"{spec.scaleTargetRef.kind} pods", f"{status.currentReplicas} current / {status.desiredReplicas} desired")
    if status.conditions:
        w.line("Conditions:")
        w.line("Type\tStatus\tReason\tMessage", 1)
        w.line("----\t------\t------\t-------", 1)
        for c in status.conditions:
            w.line(f"{c.type}\t{c.status}\t{c.reason}\t{c.message}", 1)
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def _metric(metric: pb.MetricSpec) -> str:
    match metric.type:
        case "Resource" | "ContainerResource":
            source = metric.resource if metric.type == "Resource" else metric.containerResource
            where = f' of container "{metric.containerResource.container}"' if metric.type != "Resource" else ""
            target = source.target
            if target.HasField("averageValue"):
                return f"resource {source.name}{where} on pods:\t{_UNKNOWN} / {target.averageValue.string}"
            aim = f"{target.averageUtilization}%" if target.HasField("averageUtilization") else "<auto>"
            return f"resource {source.name}{where} on pods  (as a percentage of request):\t{_UNKNOWN} / {aim}"
        case "Pods":
            return f'"{metric.pods.metric.name}" on pods:\t{_UNKNOWN} / {metric.pods.target.averageValue.string}'
        case "Object":
            about = metric.object.describedObject
            where = f"on {about.kind}/{about.name}"
            return f'"{metric.object.metric.name}" {where} {_raw(metric.object.target)}'
        case "External":
            return f'"{metric.external.metric.name}" {_raw(metric.external.target)}'
        case _:
            return f"<unknown metric type>: {metric.type}"


def _raw(target: pb.MetricTarget) -> str:
    if target.HasField("averageValue"):
        return f"(target average value):\t{_UNKNOWN} / {target.averageValue.string}"
    return f"(target value):\t{_UNKNOWN} / {target.value.string}"


def _rules(w: Writer, title: str, rules: pb.HPAScalingRules) -> None:
    w.line(f"{title}:", 1)
    if rules.HasField("stabilizationWindowSeconds"):
        w.line(f"Stabilization Window: {rules.stabilizationWindowSeconds} seconds", 2)
    if rules.policies:
        w.line(f"Select Policy: {rules.selectPolicy or 'Max'}", 2)
        w.line("Policies:", 2)
        for policy in rules.policies:
            w.line(f"- Type: {policy.type}\tValue: {policy.value}\tPeriod: {policy.periodSeconds} seconds", 3)
