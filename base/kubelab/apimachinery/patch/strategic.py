"""Strategic merge patches, applied: lists are merged as the contract says, and directives change how.

``$patch: replace|delete`` in an object or a list's element, ``$deleteFromPrimitiveList/x``, ``$setElementOrder/x`` and
``$retainKeys``. Upstream: ``strategicpatch.StrategicMergeMapPatch``
(https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/).
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from google.protobuf.descriptor import Descriptor

from kubelab.apimachinery.patch.errors import BadPatch, PatchError
from kubelab.apimachinery.patch.listorder import in_order, is_object, key_of, no_merge_key, partition, require_one_type
from kubelab.apimachinery.patch.schema import MERGE, REPLACE, Field, Schema, lookup
from kubelab.apimachinery.patch.values import JSONArray, JSONObject, copied, equal, shown, type_name

DIRECTIVE = "$patch"
DELETE = "delete"
RETAIN_KEYS = "$retainKeys"
DELETE_FROM = "$deleteFromPrimitiveList"
SET_ORDER = "$setElementOrder"

_BAD_RETAIN_KEYS = "invalid patch format of retainKeys"
_BAD_ORDER = "invalid patch format of setElementOrder list"
_BAD_DELETION = "invalid patch format of primitive list"


class Merging(NamedTuple):
    """How two documents are merged.

    ``directives`` are carried out; a three-way patch, which merges two patches, keeps them instead. With ``drop_nulls``
    a null for a key that is not there is dropped.
    """

    directives: bool = True
    drop_nulls: bool = True


APPLY = Merging()
COMBINE = Merging(directives=False, drop_nulls=False)


def apply(document: JSONObject, patch: JSONObject, message: Descriptor) -> JSONObject:
    """Apply a patch to an object of a kind, whose message is ``message``. PatchError."""
    return merge_objects(copied(document), copied(patch), message, APPLY)


def merge_objects(original: JSONObject, patch: JSONObject, schema: Schema, how: Merging) -> JSONObject:
    """Merge a patch into an object; both are used up."""
    if DIRECTIVE in patch:
        return _directed(patch)
    _retain_keys(original, patch, how)
    _order_lists(original, patch, schema, how)
    for key, value in patch.items():
        deleting = False
        if key.startswith(DELETE_FROM):
            if not how.directives:
                original[key] = value
                continue
            key, deleting = _key_below(key, DELETE_FROM, _BAD_DELETION), True
        if value is None:
            original.pop(key, None)
            if how.drop_nulls:
                continue
        if key not in original or type(original[key]) is not type(value):
            if not deleting:
                _take(original, key, value, how)
            continue
        present, field = original[key], lookup(schema, key)
        if isinstance(value, dict):
            if field.strategy != REPLACE:
                value = merge_objects(present, cast(JSONObject, value), field.schema, how)
        elif isinstance(value, list) and field.strategy == MERGE:
            value = _merge_lists(present, cast(JSONArray, value), field, how, deleting=deleting)
        original[key] = value
    return original


def _take(original: JSONObject, key: str, value: Any, how: Merging) -> None:
    """Take over a value where there is nothing to merge it with: what it would direct is dropped, as in upstream."""
    original.pop(key, None)
    left = _without_directives(_without_nulls(value) if how.drop_nulls else value)
    if left is not _DROPPED:
        original[key] = left


_DROPPED = object()


def _without_directives(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast(JSONObject, value)
        if DIRECTIVE in fields:
            return _DROPPED
        parts = ((key, _without_directives(part)) for key, part in fields.items())
        return {key: part for key, part in parts if part is not _DROPPED}
    if isinstance(value, list):
        elements = map(_without_directives, cast(JSONArray, value))
        return [element for element in elements if element is not _DROPPED]
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast(JSONObject, value)
        return {key: _without_nulls(part) for key, part in fields.items() if part is not None}
    if isinstance(value, list):
        return [_without_nulls(element) for element in cast(JSONArray, value)]
    return value


def _directed(patch: JSONObject) -> JSONObject:
    directive = patch.pop(DIRECTIVE)
    if directive == REPLACE:
        return patch
    if directive == DELETE:
        return {}
    raise PatchError(f"unknown patch type: {shown(directive)} in map: {shown({**patch, DIRECTIVE: directive})}")


def _key_below(key: str, prefix: str, problem: str) -> str:
    """Give the field that a directive such as ``$setElementOrder/containers`` is about."""
    start, slash, name = key.partition("/")
    if not slash or start != prefix:
        raise BadPatch(problem)
    return name


def _retain_keys(original: JSONObject, patch: JSONObject, how: Merging) -> None:
    """Take away the fields that ``$retainKeys`` does not have."""
    if RETAIN_KEYS not in patch:
        return
    retained = patch.pop(RETAIN_KEYS)
    if not how.directives:
        if not equal(original.setdefault(RETAIN_KEYS, retained), retained):
            raise PatchError(
                f"{shown(original[RETAIN_KEYS])} and {shown(retained)} are not deep equal: "
                "this may happen when calculating the 3-way diff patch"
            )
        return
    if not isinstance(retained, list):
        raise BadPatch(_BAD_RETAIN_KEYS)
    keys = cast(JSONArray, retained)
    for key, value in patch.items():
        if value is not None and not key.startswith((DELETE_FROM, SET_ORDER)) and key not in keys:
            raise BadPatch(_BAD_RETAIN_KEYS)
    for key in [key for key in original if key not in keys]:
        del original[key]


# --- lists


def _order_lists(original: JSONObject, patch: JSONObject, schema: Schema, how: Merging) -> None:
    """Merge the lists whose order the patch sets, and take them out of the patch."""
    for directive in [key for key in patch if key.startswith(SET_ORDER)]:
        order = patch.pop(directive)
        if not how.directives and not equal(original.setdefault(directive, order), order):
            raise BadPatch(_BAD_ORDER)
        if not isinstance(order, list):
            raise _wrong_type("[]interface {}", order)
        key = _key_below(directive, SET_ORDER, _BAD_ORDER)
        present, given = (_list_at(place, key) for place in (original, patch))
        field = lookup(schema, key)
        wanted = cast(JSONArray, order)
        _require_same_order(given or [], wanted, field.merge_key)
        if present is None and given is None:
            continue
        require_one_type(present or [], given or [])
        if present is None or given is None:
            merged = copied(present if given is None else given)
        elif field.strategy == MERGE:
            merged = _merge_lists(copied(present), given, field, how)
        else:
            merged = given
        mine, others = partition(merged, wanted, field.merge_key)
        original[key] = in_order(mine, others, wanted, present or [], field.merge_key)
        patch.pop(key, None)


def _list_at(place: JSONObject, key: str) -> JSONArray | None:
    if key not in place:
        return None
    if not isinstance(place[key], list):
        raise _wrong_type("[]interface {}", place[key])
    return cast(JSONArray, place[key])


def _wrong_type(expected: str, value: Any) -> PatchError:
    return PatchError(f"expected a {expected}, but received a {type_name(value)}")


def _require_same_order(patch: JSONArray, order: JSONArray, merge_key: str) -> None:
    """The elements of a patch's list, but for deletions, stand in its ``$setElementOrder``, in the same order."""
    if not patch or not order:
        return
    kept = [e for e in patch if not (merge_key and is_object(e) and e.get(DIRECTIVE) == DELETE)]
    at = 0
    for element in kept:
        if is_object(element) and DIRECTIVE in element:
            continue
        while at < len(order) and not equal(key_of(element, merge_key), key_of(order[at], merge_key)):
            at += 1
        if at == len(order):
            raise PatchError(
                f"The order in patch list:\n{shown(patch)}\n doesn't match {SET_ORDER} list:\n{shown(order)}\n"
            )
        at += 1


def _merge_lists(
    original: JSONArray, patch: JSONArray, field: Field, how: Merging, *, deleting: bool = False
) -> JSONArray:
    """Merge a patch's list into an object's; what the patch has keeps the order that it has there."""
    if not original and not patch:
        return original
    require_one_type(original, patch)
    before = list(original)
    if not any(map(is_object, [*original, *patch])):
        if how.directives and deleting:
            return [e for e in original if not any(equal(e, gone) for gone in patch)]
        merged = _distinct([*original, *patch])
        mine, others = partition(merged, patch, "")
        return in_order(mine, others, patch, before, "")
    if not field.merge_key:
        raise PatchError("cannot merge lists without merge key for type struct")
    original, patch = _special_elements(original, patch, field.merge_key)
    before, merged = list(original), list(original)
    for element in patch:
        if field.merge_key not in element:
            raise no_merge_key(element, field.merge_key)
        at = _find(merged, field.merge_key, element[field.merge_key])
        if at is None:
            merged.append(element)
        else:
            merged[at] = merge_objects(merged[at], dict(element), field.schema, how)
    mine, others = partition(merged, patch, field.merge_key)
    return in_order(mine, others, patch, before, field.merge_key)


def _special_elements(original: JSONArray, patch: JSONArray, merge_key: str) -> tuple[JSONArray, JSONArray]:
    """Carry out the elements of a patch's list that are directives; give both lists without them."""
    plain: JSONArray = []
    replace = False
    for element in patch:
        if DIRECTIVE not in element:
            plain.append(element)
            continue
        directive = element[DIRECTIVE]
        if directive == DELETE:
            if merge_key not in element:
                raise no_merge_key(element, merge_key)
            original = [e for e in original if not equal(e.get(merge_key), element[merge_key])]
        elif directive == REPLACE:
            replace = True
        elif directive == MERGE:
            raise PatchError("merging lists cannot yet be specified in the patch")
        else:
            raise PatchError(f"unknown patch type: {shown(directive)} in map: {shown(element)}")
    return (plain, []) if replace else (original, plain)


def _find(elements: JSONArray, merge_key: str, value: Any) -> int | None:
    for at, element in enumerate(elements):
        if merge_key in element and equal(element[merge_key], value):
            return at
    return None


def _distinct(elements: JSONArray) -> JSONArray:
    """Take out what is there before, as upstream does: the last element fills the gap."""
    left = list(elements)
    i = 0
    while i < len(left):
        j = i + 1
        while j < len(left):
            if equal(left[i], left[j]):
                left[j] = left[-1]
                left.pop()
            else:
                j += 1
        i += 1
    return left
