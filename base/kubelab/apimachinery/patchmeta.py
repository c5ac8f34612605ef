"""Rules of strategic merge patches for each field, from the contract's options
(https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor

from kubelab.api.tables import merging
from kubelab.apimachinery.messages import map_value
from kubelab.apimachinery.openapi import fields_of


class PatchField(NamedTuple):
    """A field as a patch sees it.

    ``strategies`` are of ``merge`` and ``retainKeys``; a list without ``merge`` is replaced. ``merge_key`` tells the
    elements of a merged list apart, and is empty for a list of plain values. ``below`` is the message of the value, of
    a list's elements or of a map's values, None for a plain one.
    """

    strategies: tuple[str, ...]
    merge_key: str
    below: Descriptor | None
    is_map: bool = False


@cache
def fields(descriptor: Descriptor) -> dict[str, PatchField]:
    """Give a message's fields by the name that JSON has for them."""
    by_name: dict[str, PatchField] = {}
    for field in fields_of(descriptor):
        strategies = tuple(filter(None, merging.PATCH.get(field.full_name, "").split(",")))
        merge_key = merging.MERGE_KEY.get(field.full_name, "")
        value = map_value(field)
        by_name[field.json_name] = PatchField(strategies, merge_key, (value or field).message_type, value is not None)
    return by_name
