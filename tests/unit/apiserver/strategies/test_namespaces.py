"""Namespaces: names, finalizers, phases."""

from __future__ import annotations

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.messages import deep_copy
from tests.unit.apiserver.strategies.answers import (
    LABEL,
    QUALIFIED,
    RULES,
    Change,
    on_create,
    on_status,
    said,
    stored,
    table,
    updated,
)

MANIFEST = """
apiVersion: v1
kind: Namespace
metadata: {name: user-namespace}
"""


@table(
    ({},),
    ({"metadata.name": "a.b"}, f'metadata.name: Invalid value: "a.b": {LABEL}'),
    ({"spec.finalizers": ["example.com/wait"]},),
    (
        {"spec.finalizers": ["wait"]},
        'spec.finalizers: Invalid value: "wait": name is neither a standard finalizer name nor is it fully qualified',
    ),
    ({"spec.finalizers": ["a/b!"]}, f'spec.finalizers: Invalid value: "a/b!": {QUALIFIED}'),
    (
        {"metadata.name": "A", "spec.finalizers": ["b!"]},
        f'metadata.name: Invalid value: "A": {LABEL}',
        f'spec.finalizers: Invalid value: "b!": {QUALIFIED}',
        'spec.finalizers: Invalid value: "b!": name is neither a standard finalizer name nor is it fully qualified',
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


def test_an_update_leaves_the_finalizers() -> None:
    new, old = updated(MANIFEST, {"spec.finalizers": ["x"], "metadata.labels[a]": "b"})
    assert (list(new.spec.finalizers), new.metadata.labels["a"]) == (["kubernetes"], "b")
    assert RULES["namespaces"].validate_update(new, old) == []


@table(
    ({"status.phase": "Active"},),
    (
        {"status.phase": "Terminating"},
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty",
    ),
)
def test_status(change: Change, told: list[str]) -> None:
    assert on_status(MANIFEST, change) == told


def test_status_of_one_that_goes() -> None:
    old = stored(MANIFEST)
    old.metadata.deletionTimestamp.CopyFrom(meta_pb2.Time(seconds=1))
    new = deep_copy(old)
    assert said(RULES["namespaces"].validate_status_update(new, old)) == [
        "status.Phase: Invalid value: \"Active\": may only be 'Terminating' if `deletionTimestamp` is not empty"
    ]
    new.status.phase = "Terminating"
    assert RULES["namespaces"].validate_status_update(new, old) == []


def test_what_field_selectors_can_ask_for() -> None:
    fields = RULES["namespaces"].selectable_fields(stored(MANIFEST))
    assert fields == {"metadata.name": "user-namespace", "status.phase": "Active"}
