"""``metadata.generation`` and the parts of an object, for every kind alike: who counts changes, and what which write
may change."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from kubelab.apimachinery.messages import deep_copy, map_value
from kubelab.apimachinery.meta import meta_of
from kubelab.apiserver.resources.storage import ResourceStorage
from kubelab.apiserver.resources.table import builtin

COUNTED = {
    # The kinds of 1.32 whose strategy sets the generation (pkg/registry/*/*/strategy.go).
    "CronJob",
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "DaemonSet",
    "Deployment",
    "EndpointSlice",
    "Ingress",
    "IngressClass",
    "Job",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PriorityClass",
    "FlowSchema",
    "PriorityLevelConfiguration",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
}
WRITTEN_ALONG = {"ValidatingAdmissionPolicy"}  # whose status says what the write itself has found
STORAGES = builtin()
WITH_STATUS = [s for s in STORAGES if s.strategy.has_status]


def ids(storage: ResourceStorage) -> str:
    return storage.resource.kind


def fill(message: Any) -> str:
    """Set the first field of a status; gives its name."""
    field = message.DESCRIPTOR.fields[0]
    part = getattr(message, field.name)
    if map_value(field) is not None:
        part["x"].SetInParent()
    elif field.is_repeated:
        part.add()
    elif field.message_type is not None:
        part.SetInParent()
    else:
        setattr(message, field.name, "x" if field.type == FieldDescriptor.TYPE_STRING else 7)
    return field.name


def created(storage: ResourceStorage) -> Any:
    obj = storage.resource.message()
    meta_of(obj).name, meta_of(obj).generation = "x", 77
    storage.strategy.default(obj)
    storage.strategy.prepare_for_create(obj)
    return obj


@pytest.mark.parametrize("storage", STORAGES, ids=ids)
def test_a_new_object_has_upstreams_generation(storage: ResourceStorage) -> None:
    assert meta_of(created(storage)).generation == (storage.resource.kind in COUNTED)


@pytest.mark.parametrize("storage", STORAGES, ids=ids)
def test_metadata_is_not_counted(storage: ResourceStorage) -> None:
    old = created(storage)
    new = deep_copy(old)
    meta_of(new).labels["a"] = "b"
    meta_of(new).generation = 99
    storage.strategy.prepare_for_update(new, old)
    assert meta_of(new).generation == meta_of(old).generation
    assert meta_of(new).labels["a"] == "b"


@pytest.mark.parametrize("storage", WITH_STATUS, ids=ids)
def test_an_update_keeps_the_status_and_a_status_update_all_else(storage: ResourceStorage) -> None:
    old = created(storage)
    changed = storage.resource.message()
    meta_of(changed).name = "x"
    meta_of(changed).labels["a"] = "b"
    before = deep_copy(old)
    name = fill(changed.status)
    assert changed.status != before.status
    updated = deep_copy(changed)
    storage.strategy.prepare_for_update(updated, old)
    assert updated.status == before.status or storage.resource.kind in WRITTEN_ALONG
    sent = deep_copy(changed.status)
    storage.strategy.prepare_for_status_update(changed, old)
    assert getattr(changed.status, name) == getattr(sent, name)
    assert "a" not in meta_of(changed).labels
    assert meta_of(changed).generation == meta_of(before).generation
    changed.ClearField("status")
    before.ClearField("status")
    assert changed == before
