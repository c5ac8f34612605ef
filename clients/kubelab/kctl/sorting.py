"""``--sort-by``: the order of kubectl's sorter. Digits within text count as numbers: ``web-2`` is before ``web-10``."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from kubelab.apimachinery import quantity
from kubelab.apimachinery.jsonpath import JSONPath, JSONPathError
from kubelab.kctl.relaxedpath import relaxed, relaxed_path
from kubelab.kctl.session import Failed

T = TypeVar("T")
_PARTS = re.compile(r"([0-9]{1,4000})|([^0-9])", re.DOTALL)  # Python reads no longer number


def sort_by(items: Sequence[T], field: str, document_of: Callable[[T], dict[str, Any]]) -> list[T]:
    """Sort by a field of the items' documents; those without it come first. Raises Failed, UsageProblem."""
    path = relaxed_path(field)
    keyed = [(_value(path, document_of(item)), item) for item in items]
    if items and all(found is None for found, _ in keyed):
        raise Failed(f'error: couldn\'t find any field with path "{relaxed(field)}" in the list of objects')

    def compare(one: tuple[list[Any] | None, T], other: tuple[list[Any] | None, T]) -> int:
        if one[0] is None or other[0] is None:
            return (one[0] is not None) - (other[0] is not None)
        return _compare(one[0][0], other[0][0], field)

    return [item for _, item in sorted(keyed, key=functools.cmp_to_key(compare))]


def _value(path: JSONPath, document: dict[str, Any]) -> list[Any] | None:
    """Give the first value in a list of its own; None where there is none."""
    try:
        found = path.find(document)
    except JSONPathError as err:
        raise Failed(f"error: {err}") from err
    return [found[0][0]] if found and found[0] else None


def _compare(one: Any, other: Any, field: str) -> int:
    if one is None or other is None:
        return (one is not None) - (other is not None)
    if isinstance(one, str) and isinstance(other, str):
        try:
            a, b = quantity.parse(one), quantity.parse(other)
        except ValueError:
            a, b = natural(one), natural(other)
        return _order(a, b)
    if isinstance(one, list) and isinstance(other, list):
        return next((c for a, b in zip(one, other, strict=False) if (c := _compare(a, b, field))), 0)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    number = isinstance(one, (int, float)) and isinstance(other, (int, float))
    if not number or isinstance(one, bool) or isinstance(other, bool):
        raise Failed(f"error: Field {relaxed(field)} is an unsortable type")
    return _order(one, other)


def _order(a: Any, b: Any) -> int:
    return (a > b) - (a < b)


def natural(text: str) -> list[tuple[int, int, int]]:
    """Give a key that compares runs of digits by their value, then by their leading zeros; the rest by characters."""
    key: list[tuple[int, int, int]] = []
    for digits, character in _PARTS.findall(text):
        key.append((ord("0"), int(digits), len(digits)) if digits else (ord(character), 0, 0))
    return key
