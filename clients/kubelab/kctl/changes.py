"""Sends what a command changed in an object as a patch, so that other fields may change meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar, cast

from google.protobuf.message import Message

from kubelab.kctl.resource import Info

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from kubelab.apimachinery.patch.types import PatchType
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
    if patch_type is PatchType.MERGE:
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


def descriptor_of(obj: Message) -> Descriptor:
    """Give an object's message as patches take it."""
    return cast("Descriptor", obj.DESCRIPTOR)
