"""DaemonSets and ControllerRevisions: what is refused, defaulted, and counted."""

from __future__ import annotations

from tests.unit.apiserver.strategies.answers import (
    GONE,
    NEGATIVE,
    Change,
    on_create,
    on_update,
    stored,
    table,
    updated,
)

MANIFEST = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: default}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: "agent:1"}]}
"""
REVISION = """
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: agent-1, namespace: default}
revision: 1
data: {spec: {}}
"""
GENERATION = "deprecated.daemonset.template.generation"
ROLLING = "spec.updateStrategy.rollingUpdate"


@table(
    ({},),
    ({"spec.updateStrategy": {"type": "OnDelete"}},),
    ({ROLLING: {"maxUnavailable": 0, "maxSurge": "50%"}},),
    ({"spec.minReadySeconds": -1}, f"spec.minReadySeconds: Invalid value: -1: {NEGATIVE}"),
    (
        {"spec.template.spec.restartPolicy": "Never"},
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ),
    (
        {"spec.template.spec.activeDeadlineSeconds": 5},
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported",
    ),
    (
        {"spec.updateStrategy": {"type": "Never"}},
        'spec.updateStrategy.type: Unsupported value: "Never": supported values: "OnDelete", "RollingUpdate"',
    ),
    (
        {ROLLING: {"maxUnavailable": 0}},
        f"{ROLLING}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
    ),
    (
        {ROLLING: {"maxUnavailable": 1, "maxSurge": 1}},
        f'{ROLLING}.maxSurge: Invalid value: intstr.IntOrString{{Type:0, IntVal:1, StrVal:""}}: may not be set when '
        "maxUnavailable is non-zero",
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({"spec.template.spec.containers[0].image": "agent:2"},),
    (
        {"spec.selector.matchLabels.tier": "x", "spec.template.metadata.labels.tier": "x"},
        'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":"agent", "tier":"x"}, '
        "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable",
    ),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change) == told


def test_defaults_and_the_generation_of_the_template() -> None:
    made = stored(MANIFEST)
    update = made.spec.updateStrategy
    assert (update.type, update.rollingUpdate.maxUnavailable.intVal) == ("RollingUpdate", 1)
    assert made.spec.revisionHistoryLimit == 10
    assert made.metadata.annotations[GENERATION] == "1"
    new, _ = updated(MANIFEST, {"spec.template.spec.containers[0].image": "agent:2"})
    assert new.metadata.annotations[GENERATION] == "2"
    new, _ = updated(MANIFEST, {"spec.minReadySeconds": 2})
    assert new.metadata.annotations[GENERATION] == "1"


@table(
    ({},),
    ({"data": GONE}, "data: Required value: data is mandatory"),
    ({"revision": -1}, f"revision: Invalid value: -1: {NEGATIVE}"),
)
def test_revisions(change: Change, told: list[str]) -> None:
    assert on_create(REVISION, change) == told


@table(
    ({"revision": 2},),
    ({"data.spec.a": 1}, 'data: Invalid value: "{\\"spec\\":{\\"a\\":1}}": field is immutable'),
)
def test_the_state_of_a_revision_never_changes(change: Change, told: list[str]) -> None:
    assert on_update(REVISION, change) == told
