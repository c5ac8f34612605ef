"""Strategic merge patches, made from two or three objects as ``kubectl apply`` and ``kubectl edit`` do.

Upstream: ``strategicpatch.CreateTwoWayMergePatch`` and ``CreateThreeWayMergePatch``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import yaml
from google.protobuf.descriptor import Descriptor

from kubelab.apimachinery.patch.errors import PatchConflict, PatchError, PreconditionFailed
from kubelab.apimachinery.patch.listorder import is_object, key_of, require_one_type, sort_by
from kubelab.apimachinery.patch.schema import MERGE, REPLACE, Field, Schema, lookup
from kubelab.apimachinery.patch.strategic import (
    COMBINE,
    DELETE,
    DELETE_FROM,
    DIRECTIVE,
    RETAIN_KEYS,
    SET_ORDER,
    merge_objects,
)
from kubelab.apimachinery.patch.values import JSONArray, JSONObject, copied, equal, shown


class Wanted(NamedTuple):
    """What of a difference goes into a patch. ``retain_keys`` is of the field that is being compared."""

    additions: bool = True
    deletions: bool = True
    order: bool = True
    retain_keys: bool = False


def create_two_way(
    original: JSONObject, modified: JSONObject, message: Descriptor, *, keep: Sequence[str] = ()
) -> JSONObject:
    """Make the patch that changes ``original`` into ``modified``.

    ``keep`` are paths such as ``metadata.name`` that the patch must not change. PatchError, PreconditionFailed.
    """
    patch = _objects(original, modified, message, Wanted())
    require_kept(patch, keep)
    return copied(patch)


def create_three_way(
    original: JSONObject,
    modified: JSONObject,
    current: JSONObject,
    message: Descriptor,
    *,
    overwrite: bool = True,
    keep: Sequence[str] = (),
) -> JSONObject:
    """Make the patch for ``current`` that brings what ``modified`` has, and removes what only ``original`` had.

    What others have added to ``current`` stays. Without ``overwrite`` it is a PatchConflict when both have changed the
    same field. PatchError, PreconditionFailed for a change of a path in ``keep``.
    """
    additions = copied(_objects(current, modified, message, Wanted(deletions=False)))
    deletions = copied(_objects(original, modified, message, Wanted(additions=False)))
    patch = merge_objects(deletions, additions, message, COMBINE)
    require_kept(patch, keep)
    if not overwrite:
        changed = _objects(original, current, message, Wanted(order=False))
        if _conflict(patch, changed, message, Field(message)):
            ours, theirs = (yaml.safe_dump(part, default_flow_style=False) for part in (patch, changed))
            raise PatchConflict(f"patch:\n{ours}\nconflicts with changes made from original to current:\n{theirs}\n")
    return patch


def require_kept(patch: JSONObject, keep: Sequence[str]) -> None:
    """PreconditionFailed where a patch changes a path that it must not change."""
    for path in keep:
        node: Any = patch
        *parents, last = path.split(".")
        for part in parents:
            node = cast(JSONObject, node).get(part) if isinstance(node, dict) else None
        if isinstance(node, dict) and last in node:
            raise PreconditionFailed(f"precondition failed for: {shown(patch)}")


def _objects(original: JSONObject, modified: JSONObject, schema: Schema, wanted: Wanted) -> JSONObject:
    patch: JSONObject = {}
    for key, value in modified.items():
        if key not in original:
            if wanted.additions:
                patch[key] = value
            continue
        before = original[key]
        if key == DIRECTIVE:
            if not isinstance(before, str) or not isinstance(value, str):
                raise PatchError(f"invalid value for special key: {DIRECTIVE}")
            if before != value:
                patch[key] = value
        elif type(before) is not type(value):
            if wanted.additions:
                patch[key] = value
        elif isinstance(value, dict | list):
            _below(key, before, value, patch, schema, wanted)
        elif wanted.additions and before != value:
            patch[key] = value
    if wanted.deletions:
        patch.update({key: None for key in original if key not in modified})
    retained = [key for key, value in modified.items() if value is not None] if wanted.retain_keys else []
    if retained and (patch or any(v is not None and k not in modified for k, v in original.items())):
        patch[RETAIN_KEYS] = sorted(retained)
    return patch


def _below(key: str, before: Any, value: Any, patch: JSONObject, schema: Schema, wanted: Wanted) -> None:
    """Compare two objects, or two lists, that one key has."""
    try:
        field = lookup(schema, key)
    except PatchError:
        if equal(before, value):
            return
        raise
    below = wanted._replace(retain_keys=field.retain_keys)
    if is_object(value):
        if field.strategy == REPLACE:
            if wanted.additions:
                patch[key] = value
        elif changes := _objects(before, value, field.schema, below):
            patch[key] = changes
    elif field.strategy == MERGE:
        added, gone, order = _lists(before, value, field, below)
        patch.update({key: added} if added else {})
        patch.update({f"{DELETE_FROM}/{key}": gone} if gone else {})
        patch.update({f"{SET_ORDER}/{key}": order} if order else {})
    elif wanted.additions and not equal(before, value):
        patch[key] = value


def _lists(
    original: JSONArray, modified: JSONArray, field: Field, wanted: Wanted
) -> tuple[JSONArray, JSONArray, JSONArray]:
    """Compare two lists that are merged: what a patch has of them, what it deletes of plain values, and the order."""
    if not original:
        return (modified if wanted.additions else []), [], []
    require_one_type(original, modified)
    if any(map(is_object, original)):
        return _lists_of_objects(original, modified, field, wanted)
    added, gone = _plain_values(original, modified, wanted)
    changed = (wanted.deletions and bool(gone)) or (wanted.additions and not equal(original, modified))
    return sort_by(added, modified, ""), gone, modified if wanted.order and changed else []


def _plain_values(original: JSONArray, modified: JSONArray, wanted: Wanted) -> tuple[JSONArray, JSONArray]:
    """The values that are only in one list; each as often as it is there more often."""
    added: JSONArray = []
    gone: JSONArray = []
    left = sorted(original, key=shown)
    for value in sorted(modified, key=shown):
        at = next((i for i, one in enumerate(left) if shown(one) == shown(value)), None)
        if at is None:
            added.append(value)
        else:
            del left[at]
    for value in left:
        if not any(equal(value, one) for one in gone):
            gone.append(value)
    return (added if wanted.additions else []), (gone if wanted.deletions else [])


def _lists_of_objects(
    original: JSONArray, modified: JSONArray, field: Field, wanted: Wanted
) -> tuple[JSONArray, JSONArray, JSONArray]:
    merge_key = field.merge_key
    before = {shown(key_of(element, merge_key)): element for element in original}
    after = {shown(key_of(element, merge_key)): element for element in modified}
    changed: JSONArray = []
    for key, element in after.items():
        if key not in before:
            if wanted.additions:
                changed.append(element)
        elif changes := _objects(before[key], element, field.schema, wanted):
            changed.append({**changes, merge_key: element[merge_key]})
    changed = sort_by(changed, modified, merge_key)
    if wanted.deletions:
        changed += [
            {merge_key: before[key][merge_key], DIRECTIVE: DELETE} for key in sorted(before) if key not in after
        ]
    keys = [[key_of(element, merge_key) for element in one] for one in (original, modified)]
    same_order = equal(*keys)
    ordered = (wanted.additions and (changed or not same_order)) or (wanted.deletions and changed)
    order: JSONArray = [{merge_key: element[merge_key]} for element in modified] if wanted.order and ordered else []
    return changed, [], order


def _conflict(left: Any, right: Any, schema: Schema, field: Field) -> bool:
    """Say whether two patches do different things to the same field."""
    if is_object(left):
        if not is_object(right) or left.get(DIRECTIVE) != right.get(DIRECTIVE):
            return True
        if field.strategy == REPLACE:
            return False
        shared = left.keys() & right.keys() - {DIRECTIVE, RETAIN_KEYS}
        return any(
            _conflict(left[key], right[key], (below := lookup(schema, key)).schema, below)
            for key in shared
            if not key.startswith((SET_ORDER, DELETE_FROM))
        )
    if not isinstance(left, list):
        return not equal(left, right)
    if not isinstance(right, list):
        return True
    first, second = cast(JSONArray, left), cast(JSONArray, right)
    require_one_type(first, second)
    objects = any(map(is_object, first))
    if field.strategy == MERGE:
        theirs = {shown(key_of(element, field.merge_key)): element for element in second} if objects else {}
        return any(
            _conflict(element, theirs[key], schema, Field(schema))
            for element in first
            if objects and (key := shown(key_of(element, field.merge_key))) in theirs
        )
    if not objects:
        first, second = sorted(first, key=shown), sorted(second, key=shown)
    return len(first) != len(second) or any(
        _conflict(one, other, schema, Field(schema)) for one, other in zip(first, second, strict=True)
    )
