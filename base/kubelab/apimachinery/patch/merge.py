"""Merge patches, RFC 7386: applied, and made from two or three objects.

https://www.rfc-editor.org/rfc/rfc7386; the three-way patch is upstream's ``jsonmergepatch``.
"""

from __future__ import annotations

from typing import Any, cast

from kubelab.apimachinery.patch.values import JSONObject, copied, equal


def apply(document: JSONObject, patch: JSONObject) -> JSONObject:
    """Give the object with the patch's values in their places; null removes, a list replaces."""
    result = dict(document)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            present: Any = result.get(key)
            below = cast(JSONObject, present) if isinstance(present, dict) else {}
            result[key] = apply(below, cast(JSONObject, value))
        else:
            result[key] = _without_nulls(value)
    return {key: copied(value) for key, value in result.items()}


def _without_nulls(value: Any) -> Any:
    """Take the null fields out of a list's objects, as upstream's library does where the RFC leaves them."""
    if isinstance(value, dict):
        fields = cast(JSONObject, value)
        return {key: _without_nulls(part) for key, part in fields.items() if part is not None}
    if isinstance(value, list):
        return [_without_nulls(element) for element in cast(list[Any], value)]
    return value


def create_two_way(original: JSONObject, modified: JSONObject) -> JSONObject:
    """Make the patch that changes ``original`` into ``modified``."""
    patch: JSONObject = {key: None for key in original if key not in modified}
    for key, value in modified.items():
        present = original.get(key)
        if isinstance(value, dict) and isinstance(present, dict):
            if below := create_two_way(cast(JSONObject, present), cast(JSONObject, value)):
                patch[key] = below
        elif key not in original or not equal(value, present):
            patch[key] = copied(value)
    return patch


def create_three_way(original: JSONObject, modified: JSONObject, current: JSONObject) -> JSONObject:
    """Make the patch for ``current`` that brings what ``modified`` has, and removes what only ``original`` had."""
    changes = _additions(create_two_way(current, modified))
    deletions = _deletions(create_two_way(original, modified))
    return _combined(deletions, changes)


def _additions(patch: JSONObject) -> JSONObject:
    """Keep what a patch adds and changes."""
    kept: JSONObject = {}
    for key, value in patch.items():
        if isinstance(value, dict):
            if below := _additions(cast(JSONObject, value)):
                kept[key] = below
            elif not value:
                kept[key] = {}
        elif value is not None:
            kept[key] = value
    return kept


def _deletions(patch: JSONObject) -> JSONObject:
    """Keep what a patch removes."""
    kept: JSONObject = {}
    for key, value in patch.items():
        if value is None:
            kept[key] = None
        elif isinstance(value, dict) and (below := _deletions(cast(JSONObject, value))):
            kept[key] = below
    return kept


def _combined(first: JSONObject, second: JSONObject) -> JSONObject:
    """Put two patches into one; the second wins."""
    result = dict(first)
    for key, value in second.items():
        present = result.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            result[key] = _combined(cast(JSONObject, present), cast(JSONObject, value))
        else:
            result[key] = value
    return result
