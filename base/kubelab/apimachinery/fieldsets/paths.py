"""Paths of fields and sets of them, and their JSON form, ``FieldsV1``.

A path is a tuple of FieldsV1's own keys: ``f:NAME`` for a field, ``k:{"name":"x"}`` for the element of a list that has
these keys, ``v:VALUE`` for an element of a set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeAlias, cast

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]

EMPTY: FieldSet = frozenset()
_MEMBER = "."
_KINDS = ("f:", "k:", "v:", "i:")


def decode(raw: bytes) -> FieldSet:
    """Read FieldsV1; ValueError where it is none."""
    found: set[Path] = set()
    try:
        fields: Any = json.loads(raw or b"{}")
        _collect(fields, (), found)
    except RecursionError as err:
        raise ValueError("fields are nested too deeply") from err
    return frozenset(found)


def _collect(fields: Any, path: Path, found: set[Path]) -> None:
    if not isinstance(fields, dict):
        raise ValueError(f"expected an object at {''.join(path)}")
    for key, below in cast(dict[str, Any], fields).items():
        if key == _MEMBER:
            found.add(path)
        elif not key.startswith(_KINDS):
            raise ValueError(f"unknown path element {key}")
        elif not below:
            found.add((*path, key))
        else:
            _collect(below, (*path, key), found)


def encode(fields: Iterable[Path]) -> bytes:
    """Write FieldsV1, with sorted keys."""
    tree: dict[str, Any] = {}
    for path in sorted(fields):
        node = tree
        for key in path[:-1]:
            below = node.setdefault(key, {})
            node = below
        if path:
            node.setdefault(path[-1], {})
    _mark_members(tree, (), frozenset(fields))
    return json.dumps(tree, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _mark_members(node: dict[str, Any], path: Path, fields: FieldSet) -> None:
    for key, below in node.items():
        here = (*path, key)
        if below:
            _mark_members(below, here, fields)
            if here in fields:
                below[_MEMBER] = {}


def closure(fields: Iterable[Path]) -> FieldSet:
    """Add every path that leads to one of the set."""
    return frozenset(path[:length] for path in fields for length in range(1, len(path) + 1))


def text(path: Path) -> str:
    """Write a path for people: ``.spec.containers[name="x"].image``."""
    parts: list[str] = []
    for element in path:
        kind, value = element[:2], element[2:]
        if kind == "f:":
            parts.append(f".{value}")
        elif kind == "k:":
            keys = cast(dict[str, Any], json.loads(value))
            parts.append(f"[{','.join(f'{key}={json.dumps(keys[key])}' for key in sorted(keys))}]")
        elif kind == "v:":
            parts.append(f"[={value}]")
        else:
            parts.append(f"[{value}]")
    return "".join(parts)
