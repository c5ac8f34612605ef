"""The cells of a row of horizontal pod autoscalers, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.autoscaling.v2 import autoscaling_pb2
from kubelab.apiserver.printers.cells import NONE, age

UNKNOWN = "<unknown>"
SHOWN_METRICS = 2


def row(hpa: autoscaling_pb2.HorizontalPodAutoscaler, now: float) -> list[str]:
    m, spec = hpa.metadata, hpa.spec
    return [
        m.name,
        f"{spec.scaleTargetRef.kind}/{spec.scaleTargetRef.name}",
        _metrics(hpa),
        str(spec.minReplicas) if spec.HasField("minReplicas") else "<unset>",
        str(spec.maxReplicas),
        str(hpa.status.currentReplicas),
        age(m.creationTimestamp, now),
    ]


def _metrics(hpa: autoscaling_pb2.HorizontalPodAutoscaler) -> str:
    """What is aimed at; what is measured is unknown, for there are no metrics."""
    shown = [text for metric in hpa.spec.metrics if (text := _target(metric))]
    text, more = ", ".join(shown[:SHOWN_METRICS]), len(shown) - SHOWN_METRICS
    return (f"{text} + {more} more..." if more > 0 else text) or NONE


def _target(metric: autoscaling_pb2.MetricSpec) -> str:
    match metric.type:
        case "Resource" | "ContainerResource":
            source = metric.resource if metric.type == "Resource" else metric.containerResource
            target = source.target
            aim = f"{target.averageUtilization}%" if target.HasField("averageUtilization") else "<auto>"
            if target.HasField("averageValue"):
                aim = target.averageValue.string
            return f"{source.name}: {UNKNOWN}/{aim}"
        case "Pods":
            return f"{UNKNOWN}/{metric.pods.target.averageValue.string}"
        case "Object" | "External":
            target = (metric.object if metric.type == "Object" else metric.external).target
            averaged = target.HasField("averageValue")
            return f"{UNKNOWN}/{target.averageValue.string} (avg)" if averaged else f"{UNKNOWN}/{target.value.string}"
        case _:
            return ""
