"""Sends what a command changed in an object as a patch, so that other fields may change meanwhile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from google.protobuf.message import Message

from kubelab.kctl.resource import Info

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from kubelab.apimachinery.patch.types import PatchType
    from kubelab.apimachinery.patch.values import JSONObject
    from kubelab.client.client import Client

M = TypeVar("M", bound=Message)


async def send(
    client: Client, info: Info, before: M, after: M, patch_type: PatchType, *, dry_run: bool, field_manager: str
) -> Message:
    """Patch an object by the difference of two states of it; returns it as it is then. PatchType.MERGE, or STRATEGIC.

    A resourceVersion that only ``after`` has goes along: then the server refuses when the object changed.
    """
    from kubelab.apimachinery.manifest import encode
    from kubelab.apimachinery.patch import merge, strategicdiff
    from kubelab.apimachinery.patch.types import PatchType

    old, new = encode.to_dict(before), encode.to_dict(after)
    if patch_type is PatchType.MERGE or is_custom(before):
        patch_type = PatchType.MERGE
        patch = merge.create_two_way(old, new)
    else:
        patch = strategicdiff.create_two_way(old, new, descriptor_of(before))
    return await client.patch(
        info.resource,
        info.name,
        json.dumps(patch, ensure_ascii=False).encode(),
        patch_type,
        info.namespace,
        dry_run=dry_run,
        field_manager=field_manager,
    )


def is_custom(obj: Message) -> bool:
    """Say whether an object is of a kind that a CustomResourceDefinition adds: it takes no strategic patches."""
    return obj.DESCRIPTOR.full_name == "kubelab.api.custom.CustomObject"


def type_for(obj: Message) -> PatchType:
    """Give the type of the patches that :func:`two_way` and :func:`three_way` make for an object."""
    from kubelab.apimachinery.patch.types import PatchType

    return PatchType.MERGE if is_custom(obj) else PatchType.STRATEGIC


def two_way(original: JSONObject, modified: JSONObject, obj: Message, *, keep: Sequence[str] = ()) -> JSONObject:
    """Make the patch from one state of an object to another. PatchError."""
    from kubelab.apimachinery.patch import merge, strategicdiff

    if not is_custom(obj):
        return strategicdiff.create_two_way(original, modified, descriptor_of(obj), keep=keep)
    patch = merge.create_two_way(original, modified)
    strategicdiff.require_kept(patch, keep)
    return patch


def three_way(
    original: JSONObject, modified: JSONObject, current: JSONObject, obj: Message, *, overwrite: bool = True
) -> JSONObject:
    """Make the patch that applies a configuration to an object. PatchError, ValueError."""
    from kubelab.apimachinery.patch import merge, strategicdiff

    if is_custom(obj):
        return merge.create_three_way(original, modified, current)
    return strategicdiff.create_three_way(original, modified, current, descriptor_of(obj), overwrite=overwrite)


def descriptor_of(obj: Message) -> Descriptor:
    """Give an object's message as patches take it."""
    return cast("Descriptor", obj.DESCRIPTOR)
