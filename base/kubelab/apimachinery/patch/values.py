"""JSON values as Go has them: 1, 1.0 and true are three different values, and ``%v`` writes them in one way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeAlias, cast

JSONObject: TypeAlias = dict[str, Any]
JSONArray: TypeAlias = list[Any]

_LARGEST, _SMALLEST = 2**63 - 1, -(2**63)


class DuplicateFields:
    """Collects the keys that a JSON text has twice in one object; the last value counts, as in Go."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pairs(self, pairs: list[tuple[str, Any]]) -> JSONObject:
        """Make an object of its pairs (``object_pairs_hook``)."""
        result: JSONObject = {}
        for key, value in pairs:
            if key in result and key not in self.names:
                self.names.append(key)
            result[key] = value
        return result


def load(text: str | bytes, duplicates: DuplicateFields | None = None) -> Any:
    """Read JSON as Go's decoder does: no NaN, and a number beyond 64 bits is a float. ValueError."""
    try:
        if isinstance(text, bytes):
            text = text.decode()
        hook = duplicates.pairs if duplicates is not None else None
        return json.loads(text, parse_constant=_no_constant, parse_int=_integer, object_pairs_hook=hook)
    except RecursionError as err:
        raise ValueError("exceeded max depth") from err


def _no_constant(name: str) -> Any:
    raise ValueError(f"invalid character '{name[0]}' looking for beginning of value")


def _integer(digits: str) -> int | float:
    if len(digits) > 20:
        return float(digits)
    number = int(digits)
    return number if _SMALLEST <= number <= _LARGEST else float(digits)


def equal(a: Any, b: Any) -> bool:
    """Compare deeply, with their types."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        left, right = cast(JSONObject, a), cast(JSONObject, b)
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if isinstance(a, list):
        first, second = cast(JSONArray, a), cast(JSONArray, b)
        return len(first) == len(second) and all(map(equal, first, second))
    return a == b


def copied(value: Any) -> Any:
    """Copy objects and lists deeply."""
    if isinstance(value, dict):
        return {key: copied(part) for key, part in cast(JSONObject, value).items()}
    if isinstance(value, list):
        return [copied(part) for part in cast(JSONArray, value)]
    return value


def shown(value: Any) -> str:
    """Write a value as Go's ``%v`` does: ``map[a:1 b:[x y]]``."""
    if isinstance(value, dict):
        parts = cast(JSONObject, value)
        return f"map[{' '.join(f'{key}:{shown(parts[key])}' for key in sorted(parts))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(shown, cast(Iterable[Any], value)))}]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    return str(value)


def number(value: float) -> str:
    """Write a float as Go's ``%v`` does: the shortest text, an exponent beyond 21 digits."""
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def type_name(value: Any) -> str:
    """Name a value's type as Go's ``%T`` does for what its JSON decoder makes."""
    match value:
        case None:
            return "%!s(<nil>)"
        case bool():
            return "bool"
        case dict():
            return "map[string]interface {}"
        case list():
            return "[]interface {}"
        case int():
            return "int64"
        case float():
            return "float64"
        case _:
            return "string"
