"""Owner references: who controls an object, and how to say so.

https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar, cast

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import Resource

M = TypeVar("M", bound=Message)


class HasMetadata(Protocol):
    """Every stored object."""

    @property
    def metadata(self) -> meta_pb2.ObjectMeta: ...


def metadata_of(obj: Message) -> meta_pb2.ObjectMeta:
    """Read the metadata of a message of unknown kind; every stored object has some."""
    return cast(HasMetadata, obj).metadata


def controller_of(obj: HasMetadata) -> meta_pb2.OwnerReference | None:
    """Find the one owner that manages an object."""
    return next((ref for ref in obj.metadata.ownerReferences if ref.controller), None)


def controller_reference(owner: HasMetadata, resource: Resource[Message]) -> meta_pb2.OwnerReference:
    """Make the reference by which ``owner`` manages an object, and waits for it when it is deleted in foreground."""
    return meta_pb2.OwnerReference(
        apiVersion=resource.api_version,
        kind=resource.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        blockOwnerDeletion=True,
    )


def terminating(obj: HasMetadata) -> bool:
    """Say whether deletion has begun."""
    return obj.metadata.HasField("deletionTimestamp")


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Say whether labels carry everything that a selector asks for; an empty selector selects nothing."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def copied(obj: M) -> M:
    """Copy an object that a cache handed out, to change it."""
    copy = type(obj)()
    copy.CopyFrom(obj)
    return copy
