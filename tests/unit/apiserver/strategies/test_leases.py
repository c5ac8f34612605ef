"""Leases: how long they last, how often they changed hands; and bindings, which are as short."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apiserver.resources.core.pods import binding
from tests.unit.apiserver.strategies.answers import (
    GONE,
    NEGATIVE,
    SUBDOMAIN,
    Change,
    on_create,
    on_update,
    said,
    table,
)

MANIFEST = """
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: kube-scheduler, namespace: kube-system}
spec: {holderIdentity: scheduler@cp-1_1, leaseDurationSeconds: 15, leaseTransitions: 0}
"""


@table(
    ({},),
    ({"spec": {}},),
    ({"spec.holderIdentity": "", "spec.leaseDurationSeconds": 1},),  # so a leader gives its lease up
    ({"metadata.name": "A"}, f'metadata.name: Invalid value: "A": {SUBDOMAIN}'),
    ({"spec.leaseDurationSeconds": 0}, "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"),
    ({"spec.leaseDurationSeconds": -5}, "spec.leaseDurationSeconds: Invalid value: -5: must be greater than 0"),
    ({"spec.leaseTransitions": -1}, f"spec.leaseTransitions: Invalid value: -1: {NEGATIVE}"),
    (
        {"metadata.name": GONE, "spec.leaseDurationSeconds": 0, "spec.leaseTransitions": -1},
        "metadata.name: Required value: name or generateName is required",
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        f"spec.leaseTransitions: Invalid value: -1: {NEGATIVE}",
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({"spec.holderIdentity": "scheduler@cp-2_1", "spec.leaseTransitions": 1},),
    ({"spec.leaseTransitions": 0},),
    (
        {"spec.leaseDurationSeconds": 0, "metadata.name": "other"},
        'metadata.name: Invalid value: "other": field is immutable',
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
    ),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change, {"spec.leaseTransitions": 1}) == told


def test_bindings() -> None:
    assert binding.validate(core_pb2.Binding(target=core_pb2.ObjectReference(kind="Node", name="node-1"))) == []
    assert binding.validate(core_pb2.Binding(target=core_pb2.ObjectReference(name="node-1"))) == []
    assert said(binding.validate(core_pb2.Binding(target=core_pb2.ObjectReference(kind="Pod")))) == [
        'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
        "target.name: Required value",
    ]
