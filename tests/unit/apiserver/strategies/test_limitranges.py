"""Limit ranges: defaults, and bounds that agree."""

from __future__ import annotations

from kubelab.apimachinery.manifest.decode import decode
from tests.unit.apiserver.strategies.answers import RULES, Change, on_create, table

MANIFEST = """
apiVersion: v1
kind: LimitRange
metadata: {name: bounds, namespace: default}
spec: {limits: [{type: Container, max: {cpu: "2"}}]}
"""
ITEM = "spec.limits[0]"


@table(
    ({},),
    ({f"{ITEM}.type": "Pod"},),
    ({f"{ITEM}.type": "example.com/Pod"},),
    (
        {f"{ITEM}.type": "Thing"},
        f'{ITEM}.type: Invalid value: "Thing": must be a standard limit type or fully qualified',
    ),
    (
        {"spec.limits[1]": {"type": "Container"}},
        'spec.limits[1].type: Duplicate value: "Container"',
    ),
    (
        {f"{ITEM}.max": {"pods": "1"}},
        f'{ITEM}.max[pods]: Invalid value: "pods": must be a standard resource for containers',
        f'{ITEM}.default[pods]: Invalid value: "pods": must be a standard resource for containers',
        f'{ITEM}.defaultRequest[pods]: Invalid value: "pods": must be a standard resource for containers',
    ),
    (
        {ITEM: {"type": "Pod", "default": {"cpu": "1"}}},
        f"{ITEM}.default: Forbidden: may not be specified when `type` is 'Pod'",
    ),
    (
        {ITEM: {"type": "PersistentVolumeClaim"}},
        f"{ITEM}.limits: Required value: either minimum or maximum storage value is required, but neither was provided",
    ),
    (
        {ITEM: {"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}},
        f"{ITEM}.min[cpu]: Invalid value: 2: min value 2 is greater than max value 1",
    ),
    (
        {ITEM: {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1500m"}}},
        f"{ITEM}.defaultRequest[cpu]: Invalid value: 1500m: default request value 1500m is greater than default limit "
        "value 1",
    ),
    (
        {ITEM: {"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}},
        f"{ITEM}.maxLimitRequestRatio[cpu]: Invalid value: 500m: ratio 500m is less than 1",
    ),
    (
        {ITEM: {"type": "Pod", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}}},
        f"{ITEM}.maxLimitRequestRatio[cpu]: Invalid value: 3: ratio 3 is greater than max/min = 2.000000",
    ),
)
def test_creating(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


def test_defaults_follow_from_the_bounds() -> None:
    text = MANIFEST.replace(
        'max: {cpu: "2"}', 'max: {cpu: "2", memory: 1024Mi}, default: {cpu: 0.5}, min: {memory: 1Mi}'
    )
    obj = decode(text, "test")[0].obj
    RULES["limitranges"].default(obj)
    item = obj.spec.limits[0]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]
    assert {k: v.string for k, v in item.default.items()} == {"cpu": "500m", "memory": "1Gi"}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    assert {k: v.string for k, v in item.defaultRequest.items()} == {"cpu": "500m", "memory": "1Gi"}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
