"""Which fields an object has, and in which two differ."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from kubelab.apimachinery.fieldsets.paths import FieldSet, Path
from kubelab.apimachinery.fieldsets.types import ListType, MapType, Scalar, Struct, Type, TypeMismatch
from kubelab.apimachinery.patch.values import JSONArray, JSONObject, equal

MISSING: Any = object()


class Comparison(NamedTuple):
    """Fields that only the new object has, that have another value there, and that only the old one has."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet


def field_set(value: Any, kind: Type) -> FieldSet:
    """Give the fields that an applied object sets: values, elements of lists, parts with one owner."""
    found: set[Path] = set()
    _collect(value, kind, (), found)
    return frozenset(found)


def _collect(value: Any, kind: Type, path: Path, found: set[Path]) -> None:
    if isinstance(kind, Scalar) or kind.atomic:
        found.add(path)
    elif isinstance(kind, ListType):
        for element, part in elements(value, kind):
            here = (*path, element)
            _collect(part, kind.elements, here, found)
            found.add(here)
    else:
        for key, part in cast(JSONObject, value or {}).items():
            here = (*path, f"f:{key}")
            below = child(kind, key)
            if below is not None:
                _collect(part, below, here, found)
            if part is None or part == {} or not isinstance(kind, Struct):
                found.add(here)


def child(kind: Struct | MapType, key: str) -> Type | None:
    """Give the type below a key; None for a field that is not declared."""
    return kind.fields.get(key, kind.others) if isinstance(kind, Struct) else kind.values


def elements(value: Any, kind: ListType) -> list[tuple[str, Any]]:
    """Give the elements of a list with their keys, those alone that can be told apart."""
    found: list[tuple[str, Any]] = []
    for index, part in enumerate(cast(JSONArray, value or [])):
        try:
            found.append((kind.key_of(part, index), part))
        except TypeMismatch:
            continue
    return found


def compare(old: Any, new: Any, kind: Type) -> Comparison:
    """Compare two objects of a kind, or two parts."""
    walker = _Comparing()
    walker.walk(old, new, kind, ())
    return Comparison(frozenset(walker.added), frozenset(walker.modified), frozenset(walker.removed))


class _Comparing:
    def __init__(self) -> None:
        self.added: set[Path] = set()
        self.modified: set[Path] = set()
        self.removed: set[Path] = set()

    def walk(self, old: Any, new: Any, kind: Type, path: Path) -> None:
        if isinstance(kind, Scalar) or kind.atomic or (not _has_parts(old) and not _has_parts(new)):
            if old is MISSING:
                self.added.add(path)
            elif new is MISSING:
                self.removed.add(path)
            elif not equal(old, new):
                self.modified.add(path)
            return
        if isinstance(kind, ListType):
            self._lists(old, new, kind, path)
        else:
            self._objects(old, new, kind, path)
        if old is MISSING:
            self.added.add(path)
        elif new is MISSING:
            self.removed.add(path)

    def _objects(self, old: Any, new: Any, kind: Struct | MapType, path: Path) -> None:
        before = cast(JSONObject, old) if isinstance(old, dict) else {}
        after = cast(JSONObject, new) if isinstance(new, dict) else {}
        for key in before.keys() | after.keys():
            below = child(kind, key)
            if below is not None:
                self.walk(before.get(key, MISSING), after.get(key, MISSING), below, (*path, f"f:{key}"))

    def _lists(self, old: Any, new: Any, kind: ListType, path: Path) -> None:
        before = dict(reversed(elements(old if isinstance(old, list) else [], kind)))
        after = dict(reversed(elements(new if isinstance(new, list) else [], kind)))
        for key in before.keys() | after.keys():
            self.walk(before.get(key, MISSING), after.get(key, MISSING), kind.elements, (*path, key))


def _has_parts(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(cast("JSONObject | JSONArray", value))
