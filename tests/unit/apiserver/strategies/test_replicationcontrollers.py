"""Replication controllers: numbers, selector and template; and the scale that sets their number."""

from __future__ import annotations

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apiserver.resources import scale
from tests.unit.apiserver.strategies.answers import (
    GONE,
    LABEL_VALUE,
    NEGATIVE,
    QUALIFIED,
    RULES,
    SUBDOMAIN,
    Change,
    on_create,
    on_status,
    on_update,
    said,
    stored,
    table,
    updated,
)

MANIFEST = """
apiVersion: v1
kind: ReplicationController
metadata: {name: rc, namespace: default}
spec:
  replicas: 3
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1"}]}
"""
COST = "controller.kubernetes.io/pod-deletion-cost"
NO_MATCH = "`selector` does not match template `labels`"


@table(
    ({},),
    ({"spec.replicas": 0},),
    ({"spec.replicas": -1}, f"spec.replicas: Invalid value: -1: {NEGATIVE}"),
    ({"spec.minReadySeconds": -1}, f"spec.minReadySeconds: Invalid value: -1: {NEGATIVE}"),
    ({"spec.selector": {}, "spec.template.metadata": {}}, "spec.selector: Required value"),
    ({"spec.template": GONE}, "spec.template: Required value"),
    (
        {"spec.selector.app": "node"},
        f'spec.template.metadata.labels: Invalid value: map[string]string{{"app":"web"}}: {NO_MATCH}',
    ),
    (
        {"spec.template.metadata": {}},
        f"spec.template.metadata.labels: Invalid value: map[string]string(nil): {NO_MATCH}",
    ),
    (
        {"spec.template.metadata.labels[a b]": "c d"},
        f'metadata.labels: Invalid value: "a b": {QUALIFIED}',  # they are the controller's own, by default
        f'metadata.labels: Invalid value: "c d": {LABEL_VALUE}',
        f'spec.template.labels: Invalid value: "a b": {QUALIFIED}',
        f'spec.template.labels: Invalid value: "c d": {LABEL_VALUE}',
    ),
    ({"spec.template.metadata.annotations[a b]": ""}, f'spec.template.annotations: Invalid value: "a b": {QUALIFIED}'),
    (
        {f"spec.template.metadata.annotations[{COST}]": "much"},
        f'spec.template.annotations[{COST}]: Invalid value: "much": must be a 32bit integer',
    ),
    ({"spec.template.spec.containers": []}, "spec.template.spec.containers: Required value"),
    ({"spec.template.spec.containers[0].image": " x"},),  # only pods are asked
    ({"spec.template.spec.priorityClassName": "high"},),  # as above
    (
        {"spec.template.spec.restartPolicy": "Never"},
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ),
    (
        {"spec.template.spec.restartPolicy": "No"},
        'spec.template.spec.restartPolicy: Unsupported value: "No": supported values: "Always", "OnFailure", "Never"',
        'spec.template.spec.restartPolicy: Unsupported value: "No": supported values: "Always"',
    ),
    (
        {"spec.template.spec.activeDeadlineSeconds": 5},
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not "
        "Supported",
    ),
    ({"spec.template.spec.hostNetwork": True, "spec.template.spec.containers[0].ports": [{"containerPort": 80}]},),
    (
        {
            "spec.template.spec.hostNetwork": True,
            "spec.template.spec.containers[0].ports": [{"containerPort": 80, "hostPort": 81}],
        },
        "spec.template.spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when "
        "`hostNetwork` is true",
    ),
    (
        {
            "spec.template.spec.hostNetwork": True,
            "spec.template.spec.containers[0].ports": [{"containerPort": 10250}],
        },
        "spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 10250: may not be used since it is "
        "used by a node's kubelet",
    ),
    (
        {
            "metadata.name": "A",
            "spec.minReadySeconds": -1,
            "spec.replicas": -2,
            "spec.selector.app": "b",
            "spec.template.spec.containers[0].image": "",
            "spec.template.spec.restartPolicy": "Never",
        },
        f'metadata.name: Invalid value: "A": {SUBDOMAIN}',
        f"spec.minReadySeconds: Invalid value: -1: {NEGATIVE}",
        f"spec.replicas: Invalid value: -2: {NEGATIVE}",
        f'spec.template.metadata.labels: Invalid value: map[string]string{{"app":"web"}}: {NO_MATCH}',
        "spec.template.spec.containers[0].image: Required value",
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({"spec.replicas": 5, "spec.template.spec.containers[0].image": "nginx:2"},),
    ({"spec.replicas": -1}, f"spec.replicas: Invalid value: -1: {NEGATIVE}"),
    ({"metadata.namespace": "other"}, 'metadata.namespace: Invalid value: "other": field is immutable'),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change) == told


def test_changes_of_the_spec_are_counted() -> None:
    assert stored(MANIFEST).metadata.generation == 1
    assert updated(MANIFEST, {"metadata.labels[a]": "b"})[0].metadata.generation == 1
    assert updated(MANIFEST, {"spec.replicas": 4})[0].metadata.generation == 2


@table(
    ({"status": {"replicas": 3, "readyReplicas": 2, "availableReplicas": 2, "fullyLabeledReplicas": 3}},),
    (
        {
            "status": {
                "replicas": -1,
                "readyReplicas": -1,
                "availableReplicas": -1,
                "fullyLabeledReplicas": -1,
                "observedGeneration": -1,
            }
        },
        f"status.replicas: Invalid value: -1: {NEGATIVE}",
        f"status.fullyLabeledReplicas: Invalid value: -1: {NEGATIVE}",
        f"status.readyReplicas: Invalid value: -1: {NEGATIVE}",
        f"status.availableReplicas: Invalid value: -1: {NEGATIVE}",
        f"status.observedGeneration: Invalid value: -1: {NEGATIVE}",
    ),
    (
        {"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3, "fullyLabeledReplicas": 2}},
        "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
    ),
)
def test_status(change: Change, told: list[str]) -> None:
    assert on_status(MANIFEST, change) == told


def test_what_field_selectors_can_ask_for() -> None:
    fields = RULES["replicationcontrollers"].selectable_fields(stored(MANIFEST))
    assert fields == {"metadata.name": "rc", "metadata.namespace": "default", "status.replicas": "0"}


def test_scale() -> None:
    wanted = autoscaling_pb2.Scale(
        metadata=meta_pb2.ObjectMeta(name="rc", namespace="default"), spec=autoscaling_pb2.ScaleSpec(replicas=-1)
    )
    assert said(scale.validate(wanted)) == [f"spec.replicas: Invalid value: -1: {NEGATIVE}"]
    wanted.spec.replicas = 0
    assert scale.validate(wanted) == []
