"""Events of old, which say when by lastTimestamp, and of new, which say it by eventTime and more besides."""

from __future__ import annotations

from tests.unit.apiserver.strategies.answers import (
    LABEL,
    QUALIFIED,
    RULES,
    SUBDOMAIN,
    Change,
    on_create,
    on_update,
    stored,
    table,
)

MANIFEST = """
apiVersion: v1
kind: Event
metadata: {name: web.1, namespace: shop}
involvedObject: {kind: Pod, name: web, namespace: shop}
reason: Started
type: Normal
"""
NEW = {
    "eventTime": "2024-05-01T12:00:00.000001Z",
    "reportingComponent": "kubelab.io/kubelet",
    "reportingInstance": "node-1",
    "action": "Start",
}
ELSEWHERE = "does not match event.namespace"


@table(
    ({},),
    ({"metadata.name": "Any thing.goes"},),
    (
        {"metadata.name": "a/b%"},
        "metadata.name: Invalid value: \"a/b%\": may not contain '/'",
        "metadata.name: Invalid value: \"a/b%\": may not contain '%'",
    ),
    ({"metadata.name": ".."}, "metadata.name: Invalid value: \"..\": may not be '..'"),
    ({"involvedObject.namespace": "other"}, f'involvedObject.namespace: Invalid value: "other": {ELSEWHERE}'),
    ({"involvedObject.namespace": ""}, f'involvedObject.namespace: Invalid value: "": {ELSEWHERE}'),
    ({"involvedObject.namespace": "", "metadata.namespace": "default"},),
    (
        {"involvedObject.namespace": "", "metadata.namespace": "kube-system"},
        f'involvedObject.namespace: Invalid value: "": {ELSEWHERE}',
    ),
    (
        {"involvedObject.namespace": "A", "metadata.namespace": "A"},
        f'namespace: Invalid value: "A": {SUBDOMAIN}',
        f'metadata.namespace: Invalid value: "A": {LABEL}',
    ),
    ({"reason": "", "action": "a" * 200, "message": "m" * 2000},),  # nothing of this is asked of the old ones
)
def test_of_old(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({},),
    ({"involvedObject.namespace": ""}, f'involvedObject.namespace: Invalid value: "": {ELSEWHERE}'),
    ({"involvedObject.namespace": "", "metadata.namespace": "kube-system"},),
    (
        {"reportingComponent": ""},
        "reportingController: Required value",
        'reportingController: Invalid value: "": name part must be non-empty',
        f'reportingController: Invalid value: "": {QUALIFIED}',
    ),
    ({"reportingComponent": "a b"}, f'reportingController: Invalid value: "a b": {QUALIFIED}'),
    (
        {"reportingInstance": "", "action": "", "reason": ""},
        "reportingInstance: Required value",
        "action: Required value",
        "reason: Required value",
    ),
    (
        {"reportingInstance": "a" * 129, "action": "a" * 129, "reason": "a" * 129, "message": "a" * 1025},
        'reportingInstance: Invalid value: "": can have at most 128 characters',
        'action: Invalid value: "": can have at most 128 characters',
        'reason: Invalid value: "": can have at most 128 characters',
        'message: Invalid value: "": can have at most 1024 characters',
    ),
    ({"reason": "ä" * 64, "message": "a" * 1024},),
    ({"reason": "ä" * 65}, 'reason: Invalid value: "": can have at most 128 characters'),
)
def test_of_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, {**NEW, **change}) == told


@table(
    ({"count": 2, "message": "again"},),
    (
        {"metadata.name": "web.2", "involvedObject.namespace": "other"},
        'metadata.name: Invalid value: "web.2": field is immutable',
        f'involvedObject.namespace: Invalid value: "other": {ELSEWHERE}',
    ),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change) == told


def test_what_field_selectors_can_ask_for() -> None:
    fields = RULES["events"].selectable_fields(stored(MANIFEST, NEW))
    assert fields["involvedObject.name"] == "web"
    assert fields["reason"] == "Started"
    assert fields["source"] == fields["reportingComponent"] == "kubelab.io/kubelet"
    assert RULES["events"].selectable_fields(stored(MANIFEST, {"source.component": "kubelet"}))["source"] == "kubelet"
