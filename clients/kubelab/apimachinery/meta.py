"""Small questions that are asked of every object's metadata."""

from __future__ import annotations

from typing import Protocol, cast

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import scheme


class HasMetadata(Protocol):
    """What every stored object has; generated messages do not say so themselves."""

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


def split_key(text: str) -> tuple[str, str]:
    """The namespace ("" where there is none) and the name."""
    namespace, _, name = text.rpartition("/")
    return namespace, name


def get_controller_of(obj: Message) -> meta_pb2.OwnerReference | None:
    """The owner that manages this object, if any."""
    return next((ref for ref in meta_of(obj).ownerReferences if ref.controller), None)


def has_owner(obj: Message, owner: Message) -> bool:
    """Whether the object goes away with that owner, by uid."""
    return any(ref.uid == meta_of(owner).uid for ref in meta_of(obj).ownerReferences)


def is_controlled_by(obj: Message, owner: Message) -> bool:
    """By uid: an owner of the same name that was made anew is another one."""
    ref = get_controller_of(obj)
    return ref is not None and ref.uid == meta_of(owner).uid


def new_controller_ref(owner: Message) -> meta_pb2.OwnerReference:
    """What a controller writes into the objects that it makes."""
    resource, metadata = scheme.of_object(owner), meta_of(owner)
    return meta_pb2.OwnerReference(
        apiVersion=resource.api_version,
        kind=resource.kind,
        name=metadata.name,
        uid=metadata.uid,
        controller=True,
        blockOwnerDeletion=True,
    )


def is_deleting(obj: Message) -> bool:
    """Whether deletion was asked for and something is still to be done first."""
    return meta_of(obj).HasField("deletionTimestamp")


def has_finalizer(obj: Message, name: str) -> bool:
    return name in meta_of(obj).finalizers


def add_finalizer(obj: Message, name: str) -> bool:
    """Make the object wait for somebody before it goes. Says whether that changed it."""
    finalizers = meta_of(obj).finalizers
    if name in finalizers:
        return False
    finalizers.append(name)
    return True


def remove_finalizer(obj: Message, name: str) -> bool:
    """Wait for that one no longer. Says whether that changed it."""
    finalizers = meta_of(obj).finalizers
    if name not in finalizers:
        return False
    kept = [finalizer for finalizer in finalizers if finalizer != name]
    del finalizers[:]
    finalizers.extend(kept)
    return True
