"""Functions of any object's metadata: its key, its owners, whether it is being deleted.

https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from __future__ import annotations

from typing import Protocol, cast

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import Resource

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
"""The annotation of the bookmark after all initial events of a watch."""


class HasMetadata(Protocol):
    """The fields that every stored object has: a protocol, because generated messages have no common base."""

    @property
    def metadata(self) -> meta_pb2.ObjectMeta: ...


def meta_of(obj: Message) -> meta_pb2.ObjectMeta:
    """The metadata of any stored object."""
    return cast(HasMetadata, obj).metadata


def key(namespace: str, name: str) -> str:
    """``default/web``, or ``node-1`` for what has no namespace."""
    return f"{namespace}/{name}" if namespace else name


def key_of(obj: Message) -> str:
    """The key under which caches and queues know an object."""
    metadata = meta_of(obj)
    return key(metadata.namespace, metadata.name)


def get_controller_of(obj: Message) -> meta_pb2.OwnerReference | None:
    """The owner that manages this object, if any."""
    return next((ref for ref in meta_of(obj).ownerReferences if ref.controller), None)


def is_controlled_by(obj: Message, owner: Message) -> bool:
    """By uid: an owner of the same name that was made anew is another one."""
    ref = get_controller_of(obj)
    return ref is not None and ref.uid == meta_of(owner).uid


def new_controller_ref(owner: Message, resource: Resource[Message]) -> meta_pb2.OwnerReference:
    """Make the reference by which ``owner`` manages an object. A foreground deletion of the owner waits for it."""
    metadata = meta_of(owner)
    return meta_pb2.OwnerReference(
        apiVersion=resource.api_version,
        kind=resource.kind,
        name=metadata.name,
        uid=metadata.uid,
        controller=True,
        blockOwnerDeletion=True,
    )


def is_terminating(obj: Message) -> bool:
    """Say whether the deletion of an object has begun."""
    return meta_of(obj).HasField("deletionTimestamp")
