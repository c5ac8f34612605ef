"""Deployments and ReplicaSets: numbers, selector, template, strategy, and what is counted as a change."""

from __future__ import annotations

import pytest
import yaml

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery import intstr
from tests.unit.apiserver.strategies.answers import (
    GONE,
    NEGATIVE,
    QUALIFIED,
    RULES,
    SUBDOMAIN,
    Change,
    on_create,
    on_status,
    on_update,
    stored,
    table,
    updated,
)

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1"}]}
"""
REPLICA_SET = DEPLOYMENT.replace("Deployment", "ReplicaSet")
BOTH = pytest.mark.parametrize("manifest", [DEPLOYMENT, REPLICA_SET], ids=["deployment", "replicaset"])
NO_MATCH = "`selector` does not match template `labels`"
LABELS = 'spec.template.metadata.labels: Invalid value: map[string]string{"app":"web"}'
ROLLING = "spec.strategy.rollingUpdate"
NO_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)


def number(value: int | str) -> str:
    """An IntOrString as Go prints it."""
    if isinstance(value, int):
        return f'intstr.IntOrString{{Type:0, IntVal:{value}, StrVal:""}}'
    return f'intstr.IntOrString{{Type:1, IntVal:0, StrVal:"{value}"}}'


@BOTH
@table(
    ({},),
    ({"spec.replicas": 0},),
    ({"spec.replicas": -1}, f"spec.replicas: Invalid value: -1: {NEGATIVE}"),
    ({"spec.minReadySeconds": -1}, f"spec.minReadySeconds: Invalid value: -1: {NEGATIVE}"),
    ({"spec.selector": GONE}, "spec.selector: Required value", f"{LABELS}: {NO_MATCH}"),
    (
        {"spec.selector": {}},
        "spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), "
        "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for deployment",
    ),
    ({"spec.selector.matchLabels.app": "node"}, f"{LABELS}: {NO_MATCH}"),
    ({"spec.selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "x"]}]}},),
    ({"spec.selector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}}, f"{LABELS}: {NO_MATCH}"),
    (
        {"spec.selector.matchLabels[a b]": "c", "spec.template.metadata.labels[a b]": "c"},
        f'spec.selector.matchLabels: Invalid value: "a b": {QUALIFIED}',
        f'spec.template.labels: Invalid value: "a b": {QUALIFIED}',
    ),
    ({"spec.template.spec.containers": []}, "spec.template.spec.containers: Required value"),
    (
        {"spec.template.spec.restartPolicy": "Never"},
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ),
    (
        {"spec.template.spec.activeDeadlineSeconds": 5},
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
    ),
    ({"metadata.name": "A"}, f'metadata.name: Invalid value: "A": {SUBDOMAIN}'),
)
def test_new(manifest: str, change: Change, told: list[str]) -> None:
    assert on_create(manifest, change) == told


@table(
    ({"spec.strategy": {"type": "Recreate"}},),
    (
        {"spec.strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
        f"{ROLLING}: Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ),
    (
        {"spec.strategy": {"type": "Slow"}},
        'spec.strategy: Unsupported value: apps.DeploymentStrategy{Type:"Slow", RollingUpdate:'
        '(*apps.RollingUpdateDeployment)(nil)}: supported values: "Recreate", "RollingUpdate"',
    ),
    ({ROLLING: {"maxSurge": 0, "maxUnavailable": 1}},),
    ({ROLLING: {"maxSurge": "150%", "maxUnavailable": "0%"}},),
    (
        {ROLLING: {"maxSurge": 0, "maxUnavailable": "0%"}},
        f"{ROLLING}.maxUnavailable: Invalid value: {number('0%')}: may not be 0 when `maxSurge` is 0",
    ),
    (
        {ROLLING: {"maxSurge": 0, "maxUnavailable": 0}},
        f"{ROLLING}.maxUnavailable: Invalid value: {number(0)}: may not be 0 when `maxSurge` is 0",
    ),
    ({ROLLING: {"maxSurge": -1}}, f"{ROLLING}.maxSurge: Invalid value: -1: {NEGATIVE}"),
    ({ROLLING: {"maxUnavailable": "x"}}, f"{ROLLING}.maxUnavailable: Invalid value: {number('x')}: {NO_PERCENT}"),
    (
        {ROLLING: {"maxUnavailable": "101%"}},
        f"{ROLLING}.maxUnavailable: Invalid value: {number('101%')}: must not be greater than 100%",
    ),
    ({"spec.revisionHistoryLimit": 0},),
    ({"spec.revisionHistoryLimit": -1}, f"spec.revisionHistoryLimit: Invalid value: -1: {NEGATIVE}"),
    ({"spec.minReadySeconds": 599},),
    (
        {"spec.minReadySeconds": 600},
        "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
    ),
    (
        {"spec.progressDeadlineSeconds": -1},
        f"spec.progressDeadlineSeconds: Invalid value: -1: {NEGATIVE}",
        "spec.progressDeadlineSeconds: Invalid value: -1: must be greater than minReadySeconds",
    ),
)
def test_strategies_and_limits(change: Change, told: list[str]) -> None:
    assert on_create(DEPLOYMENT, change) == told


@BOTH
@table(
    ({"spec.replicas": 5, "spec.template.spec.containers[0].image": "nginx:2"},),
    (
        {"spec.selector.matchLabels.app": "node", "spec.template.metadata.labels.app": "node"},
        'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":"node"}, '
        "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable",
    ),
)
def test_changes(manifest: str, change: Change, told: list[str]) -> None:
    assert on_update(manifest, change) == told


def test_what_counts_as_a_change() -> None:
    for manifest, by_annotation in ((DEPLOYMENT, 2), (REPLICA_SET, 1)):
        assert stored(manifest).metadata.generation == 1
        assert updated(manifest, {"metadata.labels[a]": "b"})[0].metadata.generation == 1
        assert updated(manifest, {"metadata.annotations[a]": "b"})[0].metadata.generation == by_annotation
        assert updated(manifest, {"spec.replicas": 4})[0].metadata.generation == 2


def test_a_deployments_defaults() -> None:
    spec = stored(DEPLOYMENT).spec
    assert isinstance(spec, apps_pb2.DeploymentSpec)
    quarter = intstr.from_string("25%")
    assert spec.strategy.type == "RollingUpdate"
    assert (spec.strategy.rollingUpdate.maxSurge, spec.strategy.rollingUpdate.maxUnavailable) == (quarter, quarter)
    assert (spec.revisionHistoryLimit, spec.progressDeadlineSeconds) == (10, 600)
    assert spec.template.spec.restartPolicy == "Always"
    bare = yaml.safe_load(DEPLOYMENT)
    del bare["spec"]["replicas"]
    assert stored(yaml.safe_dump(bare)).spec.replicas == 1
    half = stored(DEPLOYMENT.replace("replicas: 3", "strategy: {rollingUpdate: {maxSurge: 2}}")).spec.strategy
    assert (half.rollingUpdate.maxSurge, half.rollingUpdate.maxUnavailable) == (intstr.from_int(2), quarter)
    recreate = stored(DEPLOYMENT.replace("replicas: 3", "strategy: {type: Recreate}")).spec.strategy
    assert not recreate.HasField("rollingUpdate")


@table(
    ({"status": {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 2}},),
    (
        {"status": {"replicas": 1, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 3}},
        "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
    ),
    (
        {"status": {"collisionCount": -1, "unavailableReplicas": -1}},
        f"status.unavailableReplicas: Invalid value: -1: {NEGATIVE}",
        f"status.collisionCount: Invalid value: -1: {NEGATIVE}",
        "status.collisionCount: Invalid value: -1: cannot be decremented",
    ),
)
def test_status(change: Change, told: list[str]) -> None:
    assert on_status(DEPLOYMENT, change) == told


def test_a_status_update_takes_the_annotations_with_it() -> None:
    old = stored(DEPLOYMENT)
    new = stored(DEPLOYMENT.replace("replicas: 3", "replicas: 9"))
    new.metadata.annotations["deployment.kubernetes.io/revision"] = "1"
    new.status.replicas = 3
    RULES["deployments"].prepare_for_status_update(new, old)
    assert (new.spec.replicas, new.status.replicas) == (3, 3)
    assert dict(new.metadata.annotations) == {"deployment.kubernetes.io/revision": "1"}


def test_what_field_selectors_can_ask_for() -> None:
    fields = RULES["replicasets"].selectable_fields(stored(REPLICA_SET))
    assert fields == {"metadata.name": "web", "metadata.namespace": "default", "status.replicas": "0"}
