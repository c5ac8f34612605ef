"""Horizontal pod autoscalers: bounds and metrics."""

from __future__ import annotations

from kubelab.apimachinery.manifest.decode import decode
from kubelab.apimachinery.manifest.encode import to_dict
from tests.unit.apiserver.strategies.answers import GONE, RULES, Change, on_create, table

MANIFEST = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: default}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
"""
METRIC = "spec.metrics[0]"


@table(
    ({},),
    ({"spec.metrics": []},),
    ({"spec.minReplicas": 0}, "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"),
    (
        {"spec.minReplicas": 4},
        "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
    ),
    ({"spec.scaleTargetRef.name": GONE}, "spec.scaleTargetRef.name: Required value"),
    (
        {f"{METRIC}.type": "Some"},
        f'{METRIC}.type: Unsupported value: "Some": supported values: "ContainerResource", "External", "Object", '
        '"Pods", "Resource"',
    ),
    (
        {f"{METRIC}.type": "Pods"},
        f"{METRIC}.resource: Forbidden: must populate the given metric source only",
        f"{METRIC}.pods: Required value: must populate information for the given metric source",
    ),
    (
        {f"{METRIC}.resource.target": {"type": "Utilization"}},
        f"{METRIC}.resource.target.averageUtilization: Required value: must set either a target raw value or a target "
        "utilization",
    ),
    (
        {f"{METRIC}.resource.target.averageUtilization": 0},
        f"{METRIC}.resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
    ),
)
def test_creating(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


def test_defaults() -> None:
    obj = decode(MANIFEST.replace("  metrics: [{", "  behavior: {scaleDown: {}}\n  # [{"), "test")[0].obj
    RULES["horizontalpodautoscalers"].default(obj)
    spec = to_dict(obj)["spec"]
    assert spec["minReplicas"] == 1
    assert spec["metrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
    ]
    assert spec["behavior"]["scaleDown"] == {
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }
