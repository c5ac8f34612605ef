"""StatefulSets: what is refused, defaulted, and what may change."""

from __future__ import annotations

from kubelab.apiserver.resources.apps.statefulsets import strategy
from tests.unit.apiserver.strategies.answers import GONE, NEGATIVE, RULES, Change, on_create, on_update, stored, table

MANIFEST = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: default}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "db:1"}]}
"""
MAY_CHANGE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


@table(
    ({},),
    ({"spec.podManagementPolicy": "Parallel", "spec.ordinals.start": 5},),
    ({"spec.replicas": -1}, f"spec.replicas: Invalid value: -1: {NEGATIVE}"),
    ({"spec.ordinals.start": -1}, f"spec.ordinals.start: Invalid value: -1: {NEGATIVE}"),
    (
        {"spec.podManagementPolicy": "Random"},
        "spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
    ),
    (
        {"spec.updateStrategy": {"rollingUpdate": {"partition": -1}}},
        f"spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: {NEGATIVE}",
    ),
    ({"spec.selector": GONE}, "spec.selector: Required value"),
    (
        {"spec.selector.matchLabels.app": "web"},
        'spec.template.metadata.labels: Invalid value: map[string]string{"app":"db"}: `selector` does not match '
        "template `labels`",
    ),
    (
        {"spec.persistentVolumeClaimRetentionPolicy.whenScaled": "Keep"},
        'spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Keep": supported values: "Retain", '
        '"Delete"',
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change)[: len(told) or None] == told


@table(
    ({"spec.replicas": 5, "spec.template.spec.containers[0].image": "db:2", "spec.minReadySeconds": 3},),
    ({"spec.updateStrategy.type": "OnDelete", "spec.ordinals.start": 2},),
    ({"spec.serviceName": "other"}, f"spec: Forbidden: {MAY_CHANGE}"),
    ({"spec.podManagementPolicy": "Parallel"}, f"spec: Forbidden: {MAY_CHANGE}"),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change) == told


def test_defaults() -> None:
    spec = stored(MANIFEST).spec
    assert (spec.replicas, spec.revisionHistoryLimit, spec.podManagementPolicy) == (1, 10, strategy.ORDERED_READY)
    assert (spec.updateStrategy.type, spec.updateStrategy.rollingUpdate.partition) == ("RollingUpdate", 0)
    assert spec.persistentVolumeClaimRetentionPolicy.whenDeleted == "Retain"


def test_only_a_policy_that_asks_for_something_is_warned_of() -> None:
    field = "spec.persistentVolumeClaimRetentionPolicy"
    assert RULES["statefulsets"].warnings(stored(MANIFEST)) == []
    [told] = RULES["statefulsets"].warnings(stored(MANIFEST, {f"{field}.whenScaled": "Delete"}))
    assert told.startswith(f"{field}: ")


def test_claims_are_stored_with_a_warning() -> None:
    made = stored(MANIFEST, {"spec.volumeClaimTemplates": [{"metadata": {"name": "data"}}]})
    told = [text for text in RULES["statefulsets"].warnings(made) if text.startswith("spec.volumeClaimTemplates")]
    assert len(told) == 1
    assert "stores this field and does not act on it" in told[0]
