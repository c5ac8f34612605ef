"""What a node may write into its own Node, and into which pods."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.core.podreferences import config_map_names, secret_names
from kubelab.apiserver.authz.permissions import NODE_UID, Judge, Question, mirror, user

NODE = user("system:node:node-1", "system:nodes")
CREATE = Question("create", "pods", namespace="default")


def owner(pod: core_pb2.Pod) -> meta_pb2.OwnerReference:
    return pod.metadata.ownerReferences[0]


async def test_a_node_shows_its_static_pods_by_mirror_pods() -> None:
    await Judge().judge(NODE, CREATE, mirror())


CHANGES: list[tuple[Callable[[core_pb2.Pod], object], str]] = [
    (lambda p: p.metadata.annotations.clear(), 'node "node-1" can only create mirror pods'),
    (lambda p: setattr(p.spec, "nodeName", "node-2"), "with spec.nodeName set to itself"),
    (lambda p: setattr(p.spec, "nodeName", ""), "with spec.nodeName set to itself"),
    (lambda p: p.metadata.ClearField("ownerReferences"), "with an owner reference set to itself"),
    (lambda p: p.metadata.ownerReferences.add(kind="Node"), "with a single owner reference set to itself"),
    (lambda p: setattr(owner(p), "name", "node-2"), "with an owner reference set to itself"),
    (lambda p: setattr(owner(p), "kind", "Pod"), "with an owner reference set to itself"),
    (lambda p: setattr(owner(p), "controller", False), "with a controller owner reference set to itself"),
    (lambda p: setattr(owner(p), "blockOwnerDeletion", True), "must not set blockOwnerDeletion"),
    (lambda p: setattr(owner(p), "uid", "another"), f"node node-1 UID mismatch: expected {NODE_UID} got another"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
async def test_a_node_creates_no_other_pod(change: Callable[[core_pb2.Pod], object], told: str) -> None:
    wanted = mirror()
    change(wanted)
    with pytest.raises(errors.Forbidden) as err:
        await Judge().judge(NODE, CREATE, wanted)
    assert told in err.value.message


# --- what a pod names, found in the contract itself


def references(kind: str) -> Iterator[tuple[FieldDescriptor, ...]]:
    """Every way from a pod's spec to a field that names a secret (or a config map)."""

    def below(message: Descriptor, way: tuple[FieldDescriptor, ...]) -> Iterator[tuple[FieldDescriptor, ...]]:
        for field in message.fields:
            if field.message_type is None or any(field.message_type is seen.message_type for seen in way):
                continue
            if field.name.lower().startswith(kind) or (kind == "secret" and field.name == "imagePullSecrets"):
                yield (*way, field)
            else:
                yield from below(field.message_type, (*way, field))

    return below(core_pb2.PodSpec.DESCRIPTOR, ())


def naming(way: tuple[FieldDescriptor, ...], name: str) -> core_pb2.Pod:
    """A pod that names something by this way."""
    pod = core_pb2.Pod()
    at: Message = pod.spec
    for field in way:
        value = getattr(at, field.name)
        at = value.add() if field.is_repeated else value
        at.SetInParent()
    here = next((f.name for f in at.DESCRIPTOR.fields if f.name == "localObjectReference"), "")
    last = getattr(at, here) if here else at
    setattr(last, "secretName" if "secretName" in last.DESCRIPTOR.fields_by_name else "name", name)
    return pod


@pytest.mark.parametrize(("kind", "names"), [("secret", secret_names), ("configmap", config_map_names)])
def test_every_field_that_names_one_counts_as_a_reference(
    kind: str, names: Callable[[core_pb2.PodSpec], set[str]]
) -> None:
    ways = list(references(kind))
    assert len(ways) >= 2
    missed = [".".join(f.name for f in way) for way in ways if "found" not in names(naming(way, "found").spec)]
    assert missed == []
