"""The order of merged lists: what a patch has keeps the patch's order, what only the server has keeps the server's."""

from __future__ import annotations

from typing import Any, TypeGuard

from kubelab.apimachinery.patch.errors import PatchError, UnprocessablePatch
from kubelab.apimachinery.patch.values import JSONArray, JSONObject, equal, shown, type_name

_DIRECTIVE, _DELETE = "$patch", "delete"


def is_object(value: Any) -> TypeGuard[JSONObject]:
    return isinstance(value, dict)


def no_merge_key(element: JSONObject, merge_key: str) -> PatchError:
    return PatchError(f"map: {shown(element)} does not contain declared merge key: {merge_key}")


def key_of(element: Any, merge_key: str) -> Any:
    """What tells an element apart: the value of its merge key, or the element itself. PatchError."""
    if not merge_key:
        return element
    if not is_object(element):
        raise PatchError(f"expected a map[string]interface {{}}, but received a {type_name(element)}")
    if merge_key not in element:
        raise no_merge_key(element, merge_key)
    return element[merge_key]


def require_one_type(*lists: JSONArray) -> None:
    """All elements have one type, and none is a list. UnprocessablePatch, PatchError."""
    elements = [element for one in lists for element in one]
    if not elements:
        raise PatchError("no elements in any of the given slices")
    if isinstance(elements[0], list):
        raise UnprocessablePatch("lists of lists are not supported")
    if len({type(element) for element in elements}) > 1:
        raise PatchError(f"list element types are not identical: {shown(list(lists))}")


def partition(merged: JSONArray, by: JSONArray, merge_key: str) -> tuple[JSONArray, JSONArray]:
    """Part a list in the elements that are among ``by``, and the others."""
    keys = [key_of(element, merge_key) for element in by]
    mine: JSONArray = []
    others: JSONArray = []
    for element in merged:
        key = key_of(element, merge_key)
        (mine if any(equal(key, one) for one in keys) else others).append(element)
    return mine, others


def in_order(mine: JSONArray, others: JSONArray, order: JSONArray, server: JSONArray, merge_key: str) -> JSONArray:
    """Put a patch's elements into ``order`` and the server's others into theirs, and interleave the two.

    The other elements stand before the first of the patch's that comes after them on the server.
    """
    left, right = sort_by(others, server, merge_key), sort_by(mine, order, merge_key)
    places = [key_of(element, merge_key) for element in server]
    result: JSONArray = []
    i = j = 0
    while i < len(left) and j < len(right):
        one, other = (_place(places, element, merge_key) for element in (left[i], right[j]))
        if one is not None and other is not None and one < other:
            result.append(left[i])
            i += 1
        else:
            result.append(right[j])
            j += 1
    return [*result, *left[i:], *right[j:]]


def sort_by(elements: JSONArray, order: JSONArray, merge_key: str) -> JSONArray:
    """Sort a list by another one; deletions go to the end."""
    places = [key_of(element, merge_key) for element in order]
    gone = [e for e in elements if merge_key and is_object(e) and e.get(_DIRECTIVE) == _DELETE]
    kept = [e for e in elements if not any(e is other for other in gone)]
    ranked = [(_place(places, element, merge_key), element) for element in kept]
    known = sorted(((place, element) for place, element in ranked if place is not None), key=lambda pair: pair[0])
    if len(known) == len(ranked):
        return [*(element for _, element in known), *gone]
    return [*_around_unknown(ranked), *gone]


def _around_unknown(ranked: list[tuple[int | None, Any]]) -> JSONArray:
    """Leave elements without a place where they are, and sort the others among their places."""
    known = iter(sorted(((p, e) for p, e in ranked if p is not None), key=lambda pair: pair[0]))
    return [element if place is None else next(known)[1] for place, element in ranked]


def _place(places: list[Any], element: Any, merge_key: str) -> int | None:
    key = key_of(element, merge_key)
    return next((at for at, one in enumerate(places) if equal(one, key)), None)
