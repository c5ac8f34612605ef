"""Resource quotas: what can be bounded, and which scopes go together."""

from __future__ import annotations

from tests.unit.apiserver.strategies.answers import Change, on_create, on_update, table

MANIFEST = """
apiVersion: v1
kind: ResourceQuota
metadata: {name: q, namespace: default}
spec: {hard: {pods: "2"}}
"""
SELECTOR = "spec.scopeSelector.matchExpressions"


@table(
    ({},),
    ({"spec.hard": {"requests.cpu": "1", "count/jobs.batch": "2", "requests.example.com/gpu": "1"}},),
    (
        {"spec.hard": {"thing": "1"}},
        'spec.hard[thing]: Invalid value: "thing": must be a standard resource type or fully qualified',
        'spec.hard[thing]: Invalid value: "thing": must be a standard resource for quota',
    ),
    ({"spec.hard": {"pods": "1500m"}}, "spec.hard[pods]: Invalid value: 1500m: must be an integer"),
    ({"spec.hard": {"cpu": "-1"}}, 'spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0'),
    ({"spec.scopes": ["BestEffort"]},),
    ({"spec.scopes": ["Some"]}, 'spec.scopes: Invalid value: []string{"Some"}: unsupported scope'),
    (
        {"spec.scopes": ["BestEffort"], "spec.hard": {"cpu": "1"}},
        'spec.scopes: Invalid value: []string{"BestEffort"}: unsupported scope applied to resource',
    ),
    (
        {"spec.scopes": ["Terminating", "NotTerminating"]},
        'spec.scopes: Invalid value: []string{"Terminating", "NotTerminating"}: conflicting scopes',
    ),
    ({SELECTOR: [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]},),
    (
        {SELECTOR: [{"scopeName": "PriorityClass", "operator": "In"}]},
        f"{SELECTOR}.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope "
        "selector",
    ),
    (
        {SELECTOR: [{"scopeName": "PriorityClass", "operator": "Near"}]},
        f'{SELECTOR}.operator: Invalid value: "Near": not a valid selector operator',
    ),
)
def test_creating(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({"spec.hard": {"pods": "3"}},),
    ({"spec.scopes": ["BestEffort"]}, 'spec.scopes: Invalid value: []string{"BestEffort"}: field is immutable'),
)
def test_changing(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change) == told
