"""Jobs: numbers, policies, the selector that the server makes, and what may change."""

from __future__ import annotations

from tests.unit.apiserver.strategies.answers import (
    GONE,
    NEGATIVE,
    RULES,
    Change,
    on_create,
    on_status,
    on_update,
    stored,
    table,
    updated,
)

MANIFEST = """
apiVersion: batch/v1
kind: Job
metadata: {name: pi, namespace: default}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: pi, image: "perl:5"}]}
"""
WHOLE = """
apiVersion: batch/v1
kind: Job
metadata: {name: pi, namespace: default}
spec:
  completions: 1
  manualSelector: true
  selector: {matchLabels: {app: pi}}
  template:
    metadata: {labels: {app: pi}}
    spec: {restartPolicy: Never, containers: [{name: pi, image: "perl:5"}]}
"""
INDEXED: Change = {"spec.completionMode": "Indexed", "spec.completions": 5, "spec.parallelism": 5}
GENERATED = "batch.kubernetes.io/controller-uid"
RULE = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
NOT_INDEXED = "requires indexed completion mode"
POLICY = "spec.podFailurePolicy.rules"


def rule(**changes: object) -> dict[str, object]:
    return {f"{POLICY}": [{**RULE, **changes}]}


@table(
    ({},),
    ({"spec.parallelism": -1}, f"spec.parallelism: Invalid value: -1: {NEGATIVE}"),
    ({"spec.completions": -1}, f"spec.completions: Invalid value: -1: {NEGATIVE}"),
    ({"spec.backoffLimit": -1}, f"spec.backoffLimit: Invalid value: -1: {NEGATIVE}"),
    ({"spec.ttlSecondsAfterFinished": -1}, f"spec.ttlSecondsAfterFinished: Invalid value: -1: {NEGATIVE}"),
    ({"spec.activeDeadlineSeconds": -1}, f"spec.activeDeadlineSeconds: Invalid value: -1: {NEGATIVE}"),
    (
        {"spec.template.spec.restartPolicy": GONE},
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ),
    (
        {"spec.completionMode": "Often"},
        'spec.completionMode: Unsupported value: "Often": supported values: "Indexed", "NonIndexed"',
    ),
    (
        {"spec.completionMode": "Indexed", "spec.parallelism": 2},
        "spec.completions: Required value: when completion mode is Indexed",
    ),
    (
        {**INDEXED, "spec.parallelism": 100_001},
        "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
    ),
    ({"spec.backoffLimitPerIndex": 1}, f"spec.backoffLimitPerIndex: Invalid value: 1: {NOT_INDEXED}"),
    ({**INDEXED, "spec.backoffLimitPerIndex": 1, "spec.maxFailedIndexes": 3},),
    (
        {**INDEXED, "spec.maxFailedIndexes": 3},
        "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
    ),
    (
        {**INDEXED, "spec.backoffLimitPerIndex": 1, "spec.maxFailedIndexes": 6},
        "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions",
    ),
    (
        {"spec.managedBy": "me"},
        'spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")',
    ),
    (
        {"spec.podReplacementPolicy": "Never"},
        'spec.podReplacementPolicy: Unsupported value: "Never": supported values: "Failed", "TerminatingOrFailed"',
    ),
    (
        {"spec.selector.matchLabels.app": "x"},
        'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":"x", '
        f'"{GENERATED}":""}}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}}: `selector` not auto-generated',
        'spec.template.metadata.labels: Invalid value: map[string]string{"batch.kubernetes.io/controller-uid":"", '
        '"batch.kubernetes.io/job-name":"pi", "controller-uid":"", "job-name":"pi"}: `selector` does not match '
        "template `labels`",
    ),
    ({"spec.manualSelector": True}, "spec.selector: Required value"),
    (
        {
            "spec.manualSelector": True,
            "spec.selector.matchLabels.app": "x",
            "spec.template.metadata.labels.app": "x",
        },
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    (rule(),),
    (
        rule(action="Forget"),
        f'{POLICY}[0].action: Unsupported value: "Forget": supported values: "Count", "FailIndex", "FailJob", "Ignore"',
    ),
    (
        rule(action="FailIndex"),
        f'{POLICY}[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
    ),
    (
        rule(onExitCodes=None),
        f"{POLICY}[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
    ),
    (
        rule(onPodConditions=[{"type": "DisruptionTarget"}]),
        f"{POLICY}[0]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported",
    ),
    (
        rule(onExitCodes={"operator": "In", "values": [2, 1, 0]}),
        f"{POLICY}[0].onExitCodes.values[2]: Invalid value: 0: must not be 0 for the In operator",
        f"{POLICY}[0].onExitCodes.values: Invalid value: []int32{{2, 1, 0}}: must be ordered",
    ),
    (
        rule(onExitCodes={"operator": "In", "values": [1], "containerName": "db"}),
        f'{POLICY}[0].onExitCodes.containerName: Invalid value: "db": must be one of the container or initContainer '
        "names in the pod template",
    ),
    (
        {**rule(), "spec.template.spec.restartPolicy": "OnFailure"},
        'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy '
        "is specified",
    ),
)
def test_the_pod_failure_policy(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({"spec.successPolicy": {"rules": []}}, f"spec.successPolicy: Invalid value: {NOT_INDEXED}"),
    ({**INDEXED, "spec.successPolicy": {"rules": [{"succeededIndexes": "0,2-4", "succeededCount": 4}]}},),
    (
        {**INDEXED, "spec.successPolicy": {"rules": [{"succeededIndexes": "0,2-3", "succeededCount": 4}]}},
        "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of "
        "indexes in the specified succeededIndexes field)",
    ),
    (
        {**INDEXED, "spec.successPolicy": {"rules": [{"succeededIndexes": "3-5"}]}},
        'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "3-5": error parsing succeededIndexes: too large '
        'index: "5"',
    ),
    (
        {**INDEXED, "spec.successPolicy": {"rules": [{}]}},
        "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be "
        "specified",
    ),
)
def test_the_success_policy(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({"spec.parallelism": 4, "spec.suspend": True, "spec.backoffLimit": 1},),
    ({"spec.completions": 4}, "spec.completions: Invalid value: 4: field is immutable"),
    (
        {"spec.template.spec.containers[0].image": "perl:6"},
        "spec.template: Invalid value: core.PodTemplateSpec{…}: field is immutable",
    ),
    (
        {"spec.completionMode": "Indexed"},
        'spec.completionMode: Invalid value: "Indexed": field is immutable',
    ),
    (
        {"spec.managedBy": "example.com/queue"},
        'spec.managedBy: Invalid value: "example.com/queue": field is immutable',
    ),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(WHOLE, change) == told


def test_an_indexed_job_grows_in_tandem() -> None:
    new, old = updated(WHOLE, {"spec.completions": 7, "spec.parallelism": 7}, INDEXED)
    assert RULES["jobs"].validate_update(new, old) == []
    new, old = updated(WHOLE, {"spec.completions": 7}, INDEXED)
    [cause] = RULES["jobs"].validate_update(new, old)
    assert cause.message == "Invalid value: 7: can only be modified in tandem with spec.parallelism"


def test_a_suspended_job_that_never_started_may_be_placed_elsewhere() -> None:
    moved: Change = {"spec.template.spec.nodeSelector.disk": "ssd"}
    new, old = updated(WHOLE, moved, {"spec.suspend": True})
    assert RULES["jobs"].validate_update(new, old) == []
    old.status.startTime.seconds = 1
    assert RULES["jobs"].validate_update(new, old) != []


def test_defaults_and_what_the_server_generates() -> None:
    job = stored(MANIFEST, {"spec.template.metadata.labels.app": "pi"})
    spec = job.spec
    assert (spec.parallelism, spec.completions, spec.backoffLimit, spec.completionMode) == (1, 1, 6, "NonIndexed")
    assert (spec.suspend, spec.manualSelector, spec.podReplacementPolicy) == (False, False, "TerminatingOrFailed")
    assert dict(spec.selector.matchLabels) == {GENERATED: job.metadata.uid}
    assert spec.template.metadata.labels["batch.kubernetes.io/job-name"] == "pi"
    assert dict(job.metadata.labels) == {"app": "pi"}
    assert dict(stored(MANIFEST).metadata.labels) == dict(stored(MANIFEST).spec.template.metadata.labels)
    policy = stored(MANIFEST, {**rule(), "spec.parallelism": 2}).spec
    assert (policy.podReplacementPolicy, policy.HasField("completions")) == ("Failed", False)


@table(
    ({"status": {"active": 2, "succeeded": 1}},),
    ({"status": {"active": -1}}, f"status.active: Invalid value: -1: {NEGATIVE}"),
)
def test_status(change: Change, told: list[str]) -> None:
    assert on_status(MANIFEST, change) == told
