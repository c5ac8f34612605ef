"""Complaints about an object that is applied, in the words of upstream's typed values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from kubelab.apimachinery.fieldsets.comparing import child
from kubelab.apimachinery.fieldsets.paths import Path, text
from kubelab.apimachinery.fieldsets.types import ListType, Scalar, Type, TypeMismatch
from kubelab.apimachinery.patch.values import JSONArray, JSONObject


def complaints(value: Any, kind: Type) -> list[str]:
    """Say which fields are not declared, have a value of another type, or cannot be told apart."""
    return [f"{text(path)}: {what}" if path else what for path, what in _wrong(value, kind, ())]


def described(found: list[str]) -> str:
    """Put several complaints into one message."""
    return found[0] if len(found) == 1 else "\n".join(["errors:", *(f"  {one}" for one in found)])


def _wrong(value: Any, kind: Type, path: Path) -> Iterator[tuple[Path, str]]:
    if value is None:
        return
    if isinstance(kind, Scalar):
        if (expected := _expected(value, kind)) is not None:
            found = _go_type(value) if kind.kind == "numeric" else _shown(value)
            yield path, f"expected {expected}, got {found}"
    elif isinstance(kind, ListType):
        if not isinstance(value, list):
            yield path, f"expected list, got {_shown(value)}"
            return
        yield from _wrong_elements(cast(JSONArray, value), kind, path)
    elif not isinstance(value, dict):
        yield path, f"expected map, got {_shown(value)}"
    else:
        for key, part in cast(JSONObject, value).items():
            below = child(kind, key)
            here = (*path, f"f:{key}")
            if below is None:
                yield here, "field not declared in schema"
            else:
                yield from _wrong(part, below, here)


def _wrong_elements(value: JSONArray, kind: ListType, path: Path) -> Iterator[tuple[Path, str]]:
    seen: set[str] = set()
    for index, element in enumerate(value):
        key = f"i:{index}"
        if not kind.atomic:
            try:
                key = kind.key_of(element, index)
            except TypeMismatch as err:
                yield path, str(err)
                continue
            if key in seen:
                yield path, f"duplicate entries for key {text((key,))}"
            seen.add(key)
        yield from _wrong(element, kind.elements, (*path, key))


def _go_type(value: Any) -> str:
    """Name the type that Go has for a JSON value that is no number: all that upstream tells where one is expected."""
    if isinstance(value, dict):
        return "map[string]interface {}"
    return "[]interface {}" if isinstance(value, list) else "bool" if isinstance(value, bool) else "string"


def _expected(value: Any, kind: Scalar) -> str | None:
    if kind.kind == "any":
        return None
    if isinstance(value, dict | list):
        return kind.kind or "scalar"
    match kind.kind:
        case "numeric":
            ok = isinstance(value, int | float) and not isinstance(value, bool)
            return None if ok else "numeric (int or float)"
        case "string":
            return None if isinstance(value, str) else "string"
        case "boolean":
            return None if isinstance(value, bool) else "boolean"
        case _:
            return None


def _shown(value: Any) -> str:
    import json

    return "&{" + json.dumps(value) + "}" if isinstance(value, dict | list) else json.dumps(value)
