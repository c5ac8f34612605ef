"""Evaluates templates over documents as JSON has them. Results, order and messages are client-go's.

Every part of an action works on a list of values, and gives a list. What a field finds nowhere is an empty list, or an
error where missing keys are not allowed. Keys of maps come in their order, where Go takes any.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Sequence
from typing import Any, cast

from kubelab.apimachinery.jsonpath.nodes import (
    Action,
    Field,
    Filter,
    Identifier,
    JSONPathError,
    Literal,
    Node,
    Recursive,
    Slice,
    Union,
    Wildcard,
)
from kubelab.apimachinery.jsonpath.parse import parse

Value = Any  # what json.loads gives
_TYPES = {dict: "map[string]interface {}", str: "string", bool: "bool", int: "int64", float: "float64"}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class JSONPath:
    """A template, parsed. Raises JSONPathError when it cannot be."""

    def __init__(self, text: str, *, allow_missing_keys: bool = False) -> None:
        self._nodes = parse(text)
        self._allow_missing_keys = allow_missing_keys

    def find(self, document: Value) -> list[list[Value]]:
        """Give the values of every piece of text and every action, those in a range once for each of its values."""
        return _Evaluation(self._nodes, self._allow_missing_keys).run(document)

    def text(self, document: Value) -> str:
        """Give the template with its actions filled in; several values of one have a space between."""
        return "".join(" ".join(map(to_text, values)) for values in self.find(document))


class _Evaluation:
    """One evaluation. It counts ranges as client-go does: ``end`` closes the innermost one."""

    def __init__(self, nodes: Sequence[Node], allow_missing_keys: bool) -> None:
        self._nodes, self._allow_missing_keys = nodes, allow_missing_keys
        self._begun = self._inside = self._ended = 0
        self._last_end = -1  # the place of the last ``end`` that closed a turn of a range

    def run(self, document: Value, place: int = 0) -> list[list[Value]]:
        """Evaluate the nodes from ``place`` on, to the end of the range that they are in."""
        found: list[list[Value]] = []
        while place < len(self._nodes):
            values = self._walk([document], self._nodes[place])
            if 0 < self._ended <= self._inside:
                self._ended -= 1
                self._last_end = place
                break
            if self._begun:
                self._begun -= 1
                self._inside += 1
                for value in values:
                    found += self.run(value, place + 1)
                if not values:
                    self.run(None, place + 1)  # finds the end of the range
                self._inside -= 1
                place = max(place, self._last_end)
            else:
                found.append(values)
            place += 1
        return found

    def _walk(self, values: list[Value], node: Node) -> list[Value]:
        match node:
            case Action():
                for part in node.parts:
                    values = self._walk(values, part)
                return values
            case Literal():
                return [node.value] if isinstance(node.value, str) else [node.value for _ in values]
            case Field():
                return self._field(values, node.name)
            case Identifier():
                return self._identifier(values, node.name)
            case Wildcard():
                return [child for value in values for child in _children(value)]
            case Recursive():
                return [part for value in values for part in _descendants(value)]
            case Slice():
                return [element for value in values if value is not None for element in _slice(value, node)]
            case Union():
                return [value for choice in node.choices for value in self._walk(values, choice)]
            case Filter():
                return [element for value in values if value is not None for element in self._filter(value, node)]

    def _identifier(self, values: list[Value], name: str) -> list[Value]:
        if name == "range":
            self._begun += 1
            return values
        if name != "end":
            raise JSONPathError(f"unrecognized identifier {name}")
        if self._ended >= self._inside:
            raise JSONPathError("not in range, nothing to end")
        self._ended += 1
        return []

    def _field(self, values: list[Value], name: str) -> list[Value]:
        if not values:
            return []
        found = [value[name] for value in values if isinstance(value, dict) and name in value]
        if not found and not self._allow_missing_keys:
            raise JSONPathError(f"{name} is not found")
        return found

    def _filter(self, value: Value, node: Filter) -> list[Value]:
        if not isinstance(value, list):
            raise JSONPathError(f"{go_text(value)} is not array or slice and cannot be filtered")
        return [element for element in cast(list[Value], value) if self._passes(element, node)]

    def _passes(self, element: Value, node: Filter) -> bool:
        if node.operator == "exists":
            try:
                return bool(self._walk([element], node.left))
            except JSONPathError:
                return False
        lefts = self._walk([element], node.left)
        if not lefts:
            return False
        rights = self._walk([element], node.right) if len(lefts) == 1 else lefts
        if not rights:
            return False
        if len(lefts) > 1 or len(rights) > 1:
            raise JSONPathError("can only compare one element at a time")
        compare = _COMPARISONS.get(node.operator)
        if compare is None:
            raise JSONPathError(f"unrecognized filter operator {node.operator}")
        return _compared(lefts[0], rights[0], compare)


def _compared(left: Value, right: Value, compare: Callable[[Any, Any], bool]) -> bool:
    for value in (left, right):
        if not isinstance(value, (str, bool, int, float)):
            raise JSONPathError("invalid type for comparison")
    if type(left) is not type(right):
        raise JSONPathError("incompatible types for comparison")
    if isinstance(left, bool) and compare not in (operator.eq, operator.ne):
        raise JSONPathError("invalid type for comparison")
    return compare(left, right)


def _slice(value: Value, node: Slice) -> list[Value]:
    if not isinstance(value, list):
        raise JSONPathError(f"{_TYPES.get(type(value), 'interface {}')} is not array or slice")
    elements = cast(list[Value], value)
    length = len(elements)
    start = node.start or 0
    end = length if node.end is None else node.end
    start += length if start < 0 else 0
    end += length if end < 0 or (node.single and end == 0) else 0
    if start == end:
        return []
    if not 0 <= start < length:
        raise JSONPathError(f"array index out of bounds: index {start}, length {length}")
    if not 0 <= end <= length:
        raise JSONPathError(f"array index out of bounds: index {end - 1}, length {length}")
    if start > end:
        raise JSONPathError(f"starting index {start} is greater than ending index {end}")
    if node.step is not None and node.step <= 0:
        raise JSONPathError("step must be > 0")
    return elements[start : end : node.step or 1]


def _children(value: Value) -> list[Value]:
    if isinstance(value, dict):
        mapping = cast(dict[str, Value], value)
        return [mapping[key] for key in sorted(mapping)]
    return cast(list[Value], value) if isinstance(value, list) else []


def _descendants(value: Value) -> list[Value]:
    """Give a value that has parts, then those of its parts that have some, depth first."""
    children = _children(value)
    return [value, *(part for child in children for part in _descendants(child))] if children else []


def to_text(value: Value) -> str:
    """Give a value as a template prints it: text as it is, lists and maps as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return go_text(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).translate(_HTML)


_HTML = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def go_text(value: Value) -> str:
    """Give a value as Go's ``fmt.Print`` does: ``map[a:1 b:[x y]]``, ``<nil>``."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case float():
            return _go_float(value)
        case dict():
            mapping = cast(dict[str, Value], value)
            return f"map[{' '.join(f'{key}:{go_text(mapping[key])}' for key in sorted(mapping))}]"
        case list():
            return f"[{' '.join(map(go_text, cast(list[Value], value)))}]"
        case _:
            return str(value)


def _go_float(value: float) -> str:
    """Write the shortest digits that read back the same, as ``%v``: an exponent below 1e-4 and from 1e21 on."""
    if value and not 1e-4 <= abs(value) < 1e21:
        mantissa, _, exponent = f"{value!r}".partition("e")
        if exponent:
            return f"{mantissa.removesuffix('.0')}e{exponent}"
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"
    return f"{value:f}".rstrip("0").rstrip(".") if "e" in repr(value) else repr(value).removesuffix(".0")
