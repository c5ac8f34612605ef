"""An applied object merged into the live one, and fields taken away."""

from __future__ import annotations

from typing import Any, cast

from kubelab.apimachinery.fieldsets.comparing import MISSING, child, elements
from kubelab.apimachinery.fieldsets.paths import FieldSet
from kubelab.apimachinery.fieldsets.types import ListType, MapType, Scalar, Struct, Type
from kubelab.apimachinery.patch.values import JSONArray, JSONObject

_Tree = dict[str, Any]
_HERE = ""  # in a tree: the path that leads here is in the set


def merge(live: Any, applied: Any, kind: Type) -> Any:
    """Give the live object with what is applied: parts with one owner are replaced, lists are merged by their keys."""
    if applied is MISSING:
        return live
    if isinstance(kind, Scalar) or kind.atomic or live is MISSING or not live:
        return applied
    if not applied:
        return live
    if isinstance(kind, ListType):
        return _merge_lists(live, applied, kind)
    return _merge_objects(live, applied, kind)


def _merge_objects(live: JSONObject, applied: JSONObject, kind: Struct | MapType) -> JSONObject:
    result = dict(live)
    for key, value in applied.items():
        below = child(kind, key)
        result[key] = merge(live.get(key, MISSING), value, below) if below is not None else value
    return result


def _merge_lists(live: JSONArray, applied: JSONArray, kind: ListType) -> JSONArray:
    """Merge two lists. The applied elements keep their order, and the others stay before what they stood before."""
    ours, theirs = elements(applied, kind), elements(live, kind)
    given, present = dict(ours), dict(reversed(theirs))
    shared = [key for key, _ in ours if key in present]
    result: JSONArray = []
    i = j = 0
    while i < len(theirs) or j < len(ours):
        if i < len(theirs) and j < len(ours):
            key = theirs[i][0]
            if key == ours[j][0]:
                result.append(merge(present[key], given[key], kind.elements))
                i, j, shared = i + 1, j + 1, shared[1:]
                continue
            if key in given and (not shared or shared[0] != key):
                i += 1  # it comes in the place that the applied list gives it
                continue
        if i < len(theirs) and theirs[i][0] not in given:
            result.append(theirs[i][1])
            i += 1
            continue
        if j < len(ours):
            key, value = ours[j]
            result.append(merge(present.get(key, MISSING), value, kind.elements))
            j += 1
            if shared and shared[0] == key:
                shared = shared[1:]
        else:
            i += 1
    return result


def remove(value: JSONObject, fields: FieldSet, kind: Type) -> JSONObject:
    """Give an object without these fields. What is left empty by that goes too, but for the object itself."""
    if not fields:
        return value
    tree: _Tree = {}
    for path in fields:
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        node[_HERE] = True
    left = _without(value, tree, kind)
    return cast(JSONObject, left) if left is not None else {}


def _without(value: Any, tree: _Tree, kind: Type) -> Any:
    if isinstance(kind, Scalar) or not value:
        return value
    if kind.atomic:
        return None
    if isinstance(kind, ListType):
        kept: JSONArray = []
        for key, part in elements(value, kind):
            below = tree.get(key)
            if below is None:
                kept.append(part)
            elif _HERE not in below:
                kept.append(_without(part, below, kind.elements))
        return kept or None
    result: JSONObject = {}
    for key, part in cast(JSONObject, value).items():
        below, known = tree.get(f"f:{key}"), child(kind, key)
        if below is None or known is None:
            result[key] = part
        elif _HERE not in below:
            result[key] = _without(part, below, known)
    return result or None
