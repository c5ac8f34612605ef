"""HorizontalPodAutoscalers of autoscaling/v1: what is stored as v2, seen in the first form and written in it."""

from __future__ import annotations

import json

from kubelab.api.autoscaling.v1 import autoscaling_pb2 as v1
from kubelab.api.autoscaling.v2 import autoscaling_pb2 as v2
from kubelab.apimachinery.jsonobjects import decode
from kubelab.apimachinery.manifest.encode import message_to_dict
from kubelab.apiserver.resources.autoscaling.horizontalpodautoscalers.v1 import METRICS, V1Envelope, from_v2, to_v2

RICH = {
    "metadata": {"name": "a", "annotations": {"mine": "x"}},
    "spec": {
        "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
        "minReplicas": 2,
        "maxReplicas": 5,
        "metrics": [
            {
                "type": "Pods",
                "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "3"}},
            },
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            },
        ],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
    },
    "status": {
        "currentReplicas": 3,
        "desiredReplicas": 4,
        "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 50}}}],
        "conditions": [{"type": "AbleToScale", "status": "True", "lastTransitionTime": None}],
    },
}


def test_what_the_first_version_has_no_field_for_is_in_annotations() -> None:
    stored, unknown = decode(RICH, v2.HorizontalPodAutoscaler)
    assert not unknown
    first = from_v2(stored)
    assert (first.spec.minReplicas, first.spec.maxReplicas) == (2, 5)
    assert first.spec.targetCPUUtilizationPercentage == 70
    assert first.status.currentCPUUtilizationPercentage == 50
    assert [metric["type"] for metric in json.loads(first.metadata.annotations[METRICS])] == ["Pods"]
    assert message_to_dict(to_v2(first)) == message_to_dict(stored)


def test_a_plain_one_needs_no_annotation() -> None:
    first = v1.HorizontalPodAutoscaler()
    first.metadata.name, first.spec.maxReplicas, first.spec.targetCPUUtilizationPercentage = "a", 3, 80
    first.spec.scaleTargetRef.kind = "Deployment"
    stored = to_v2(first)
    assert [metric.resource.target.averageUtilization for metric in stored.spec.metrics] == [80]
    assert message_to_dict(from_v2(stored)) == message_to_dict(first)


def test_an_annotation_that_is_none_of_ours_is_dropped() -> None:
    for text in ("", "{", "5", "[5]", '[{"type":5}]', "null"):
        first = v1.HorizontalPodAutoscaler()
        first.metadata.annotations[METRICS] = text
        assert METRICS not in to_v2(first).metadata.annotations
        assert not to_v2(first).spec.metrics


def test_the_stored_form_is_the_preferred_version() -> None:
    envelope = V1Envelope()
    first = v1.HorizontalPodAutoscaler()
    first.metadata.name, first.spec.targetCPUUtilizationPercentage = "a", 80
    sealed = envelope.seal(first.SerializeToString())
    assert b"autoscaling/v2" in sealed
    assert message_to_dict(v1.HorizontalPodAutoscaler.FromString(envelope.open(sealed))) == message_to_dict(first)
