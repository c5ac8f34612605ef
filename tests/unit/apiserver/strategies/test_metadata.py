"""What every object carries."""

from __future__ import annotations

import pytest

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import names
from kubelab.apiserver.strategies import metadata
from tests.unit.apiserver.strategies.answers import (
    GONE,
    LABEL,
    LABEL_VALUE,
    QUALIFIED,
    SUBDOMAIN,
    Change,
    on_create,
    on_update,
    said,
    table,
)

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
"""
NODE = "{apiVersion: v1, kind: Node, metadata: {name: node-1}}"
LEASE = "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: a, namespace: default}}"
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "u-1"}
QUALIFIED_NAME = (
    f"a qualified name {QUALIFIED.removeprefix('name part ')} with an optional DNS subdomain prefix and '/' "
    "(e.g. 'example.com/MyName')"
)


@table(
    ({},),
    ({"metadata.name": GONE}, "metadata.name: Required value: name or generateName is required"),
    ({"metadata.name": "Settings"}, f'metadata.name: Invalid value: "Settings": {SUBDOMAIN}'),
    ({"metadata.name": "a..b"}, f'metadata.name: Invalid value: "a..b": {SUBDOMAIN}'),
    ({"metadata.name": "a" * 254}, f'metadata.name: Invalid value: "{"a" * 254}": must be no more than 253 characters'),
    (
        {"metadata.name": 'quote"d\n'},
        f'metadata.name: Invalid value: "quote\\"d\\n": {SUBDOMAIN}',
    ),
    ({"metadata.generateName": "web-"},),
    ({"metadata.generateName": "Web-"}, f'metadata.generateName: Invalid value: "Web-": {SUBDOMAIN}'),
    ({"metadata.namespace": GONE}, "metadata.namespace: Required value"),
    ({"metadata.namespace": "Mine"}, f'metadata.namespace: Invalid value: "Mine": {LABEL}'),
    ({"metadata.generation": -1},),  # the server sets it
    ({"metadata.labels[example.com/app]": "Node_1.x"},),
    ({"metadata.labels[a b]": "c"}, f'metadata.labels: Invalid value: "a b": {QUALIFIED}'),
    ({"metadata.labels[app]": "node!"}, f'metadata.labels: Invalid value: "node!": {LABEL_VALUE}'),
    (
        {"metadata.labels[app]": "a" * 64},
        f'metadata.labels: Invalid value: "{"a" * 64}": must be no more than 63 characters',
    ),
    ({"metadata.labels[/app]": "x"}, 'metadata.labels: Invalid value: "/app": prefix part must be non-empty'),
    ({"metadata.labels[A/app]": "x"}, f'metadata.labels: Invalid value: "A/app": prefix part {SUBDOMAIN}'),
    ({"metadata.labels[a/b/c]": "x"}, f'metadata.labels: Invalid value: "a/b/c": {QUALIFIED_NAME}'),
    (
        {"metadata.labels[a/]": "x"},
        'metadata.labels: Invalid value: "a/": name part must be non-empty',
        f'metadata.labels: Invalid value: "a/": {QUALIFIED}',
    ),
    (
        {f"metadata.labels[{'a' * 64}]": "x"},
        f'metadata.labels: Invalid value: "{"a" * 64}": name part must be no more than 63 characters',
    ),
    (
        {"metadata.annotations[Capitals/are/not]": ""},
        f'metadata.annotations: Invalid value: "Capitals/are/not": {QUALIFIED_NAME}',
    ),
    ({"metadata.annotations[EXAMPLE.com/Note]": "anything: goes\n"},),
    ({"metadata.annotations[a]": "a" * (256 * 1024 - 1)},),
    (
        {"metadata.annotations[a]": "a" * 256 * 1024},
        "metadata.annotations: Too long: may not be more than 262144 bytes",
    ),
    ({"metadata.ownerReferences[0]": OWNER},),
    (
        {"metadata.ownerReferences[0]": {"apiVersion": "", "kind": "", "name": "", "uid": ""}},
        'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
        'metadata.ownerReferences.kind: Invalid value: "": must not be empty',
        'metadata.ownerReferences.name: Invalid value: "": must not be empty',
        'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
    ),
    (
        {"metadata.ownerReferences[0]": {**OWNER, "kind": "Event", "controller": True}},
        "metadata.ownerReferences: Invalid value: &OwnerReference{Kind:Event,Name:node-1,UID:u-1,APIVersion:v1,"
        "Controller:*true,BlockOwnerDeletion:nil,}: /v1, Kind=Event is disallowed from being an owner",
    ),
    (
        {
            "metadata.ownerReferences[0]": {**OWNER, "controller": True},
            "metadata.ownerReferences[1]": {**OWNER, "kind": "Pod", "name": "web", "controller": True},
        },
        'metadata.ownerReferences: Invalid value: []v1.OwnerReference{v1.OwnerReference{APIVersion:"v1", Kind:"Node", '
        'Name:"node-1", UID:"u-1"}, v1.OwnerReference{APIVersion:"v1", Kind:"Pod", Name:"web", UID:"u-1"}}: '
        'Only one reference can have Controller set to true. Found "true" in references for Node/node-1 and Pod/web',
    ),
    ({"metadata.finalizers": ["orphan", "example.com/wait"]},),
    (
        {"metadata.finalizers": ["example.com/wait", "wait"]},
        'metadata.finalizers[1]: Invalid value: "wait": name is neither a standard finalizer name nor is it '
        "fully qualified",
    ),
    ({"metadata.finalizers": ["a/b!"]}, f'metadata.finalizers: Invalid value: "a/b!": {QUALIFIED}'),
    (
        {"metadata.finalizers": ["orphan", "foregroundDeletion"]},
        'metadata.finalizers: Invalid value: []string{"orphan", "foregroundDeletion"}: '
        "finalizer orphan and foregroundDeletion cannot be both set",
    ),
    (
        {"metadata.name": "A", "metadata.labels[a b]": "!", "metadata.finalizers": ["x"], "data[b c]": ""},
        f'metadata.name: Invalid value: "A": {SUBDOMAIN}',
        f'metadata.labels: Invalid value: "a b": {QUALIFIED}',
        f'metadata.labels: Invalid value: "!": {LABEL_VALUE}',
        'metadata.finalizers[0]: Invalid value: "x": name is neither a standard finalizer name nor is it fully '
        "qualified",
        "data[b c]: Invalid value: \"b c\": a valid config key must consist of alphanumeric characters, '-', '_' or "
        "'.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


def test_what_has_no_namespace() -> None:
    told = ["metadata.namespace: Forbidden: not allowed on this type"]
    assert on_create(NODE, {"metadata.namespace": "default"}) == told


def test_only_the_core_group_asks_for_standard_finalizers() -> None:
    assert on_create(LEASE, {"metadata.finalizers": ["wait"]}) == []


@table(
    ({"metadata.labels[a]": "b", "metadata.annotations[a]": "b"},),
    (
        {"metadata.name": "others", "metadata.labels[a]": "!"},
        f'metadata.labels: Invalid value: "!": {LABEL_VALUE}',
        'metadata.name: Invalid value: "others": field is immutable',
    ),
    (
        {"metadata.name": "a/b"},
        "metadata.name: Invalid value: \"a/b\": may not contain '/'",
        'metadata.name: Invalid value: "a/b": field is immutable',
        f'metadata.name: Invalid value: "a/b": {SUBDOMAIN}',
    ),
    ({"metadata.namespace": "other"}, 'metadata.namespace: Invalid value: "other": field is immutable'),
    ({"metadata.uid": "u-2"}, 'metadata.uid: Invalid value: "u-2": field is immutable'),
    (
        {"metadata.creationTimestamp": "2024-05-01T12:00:00+02:00"},
        "metadata.creationTimestamp: Invalid value: 2024-05-01 10:00:00 +0000 UTC: field is immutable",
    ),
    (
        {"metadata.deletionTimestamp": "2024-05-01T12:00:00Z", "metadata.deletionGracePeriodSeconds": 5},
        "metadata.deletionTimestamp: Invalid value: 2024-05-01 12:00:00 +0000 UTC: field is immutable",
        "metadata.deletionGracePeriodSeconds: Invalid value: 5: field is immutable",
    ),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change) == told


@pytest.mark.parametrize(
    ("new", "old", "told"),
    [
        (
            meta_pb2.ObjectMeta(name="a"),
            meta_pb2.ObjectMeta(name="a", deletionTimestamp=meta_pb2.Time(seconds=1), deletionGracePeriodSeconds=30),
            [
                'metadata.deletionTimestamp: Invalid value: "null": field is immutable',
                'metadata.deletionGracePeriodSeconds: Invalid value: "null": field is immutable',
            ],
        ),
        (
            meta_pb2.ObjectMeta(generation=1),
            meta_pb2.ObjectMeta(generation=2),
            ["metadata.generation: Invalid value: 1: must not be decremented"],
        ),
        (
            meta_pb2.ObjectMeta(deletionTimestamp=meta_pb2.Time(seconds=1), finalizers=["a/b", "c/d", "e/f"]),
            meta_pb2.ObjectMeta(deletionTimestamp=meta_pb2.Time(seconds=1), finalizers=["c/d"]),
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
                'found new finalizers []string{"a/b", "e/f"}'
            ],
        ),
    ],
)
def test_what_the_server_keeps(new: meta_pb2.ObjectMeta, old: meta_pb2.ObjectMeta, told: list[str]) -> None:
    assert said(metadata.validate_update(new, old)) == told


def test_a_generation_is_never_negative() -> None:
    found = metadata.validate(
        meta_pb2.ObjectMeta(name="a", generation=-1), namespaced=False, check_name=names.dns_label
    )
    assert said(found) == ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"]
