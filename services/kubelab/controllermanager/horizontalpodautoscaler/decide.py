"""What an autoscaler can decide without metrics, and why it cannot decide more: pure functions, in upstream's words."""

from __future__ import annotations

from typing import NamedTuple

from kubelab.api.autoscaling.v2 import autoscaling_pb2 as pb

_NOT_SERVED = "the server could not find the requested resource"
CANNOT = "the HPA was unable to compute the replica count"


class Resize(NamedTuple):
    """How many replicas there shall be, and why."""

    replicas: int
    reason: str


class Failure(NamedTuple):
    """Why a metric gives no number: the reason of a condition and an event, and the error."""

    reason: str
    message: str


def bounded(spec: pb.HorizontalPodAutoscalerSpec, replicas: int) -> Resize | None:
    """Bring a number of replicas within the bounds; None where it is."""
    if replicas > spec.maxReplicas:
        return Resize(spec.maxReplicas, "Current number of replicas above Spec.MaxReplicas")
    if replicas < spec.minReplicas:
        return Resize(spec.minReplicas, "Current number of replicas below Spec.MinReplicas")
    return None


def missing_metric(metric: pb.MetricSpec) -> Failure:
    """Say why a metric cannot be read: no API of metrics is served."""
    match metric.type:
        case "Resource" | "ContainerResource":
            resource = metric.resource if metric.type == "Resource" else metric.containerResource
            what = "utilization" if resource.target.HasField("averageUtilization") else "usage"
            why = (
                f"failed to get {resource.name} {what}: unable to get metrics for resource {resource.name}: unable to "
                f"fetch metrics from resource metrics API: {_NOT_SERVED} (get pods.metrics.k8s.io)"
            )
            return Failure(f"FailedGet{metric.type}Metric", why)
        case "External":
            name = metric.external.metric.name
            why = (
                f"unable to fetch metrics from external metrics API: {_NOT_SERVED} (get {name}.external.metrics.k8s.io)"
            )
            return Failure("FailedGetExternalMetric", f"unable to get external metric {name}: {why}")
        case _:
            name = (metric.pods if metric.type == "Pods" else metric.object).metric.name
            why = f"unable to fetch metrics from custom metrics API: {_NOT_SERVED} (get {name}.custom.metrics.k8s.io)"
            return Failure(f"FailedGet{metric.type}Metric", f"unable to get metric {name}: {why}")
