"""What Go's ``encoding/json`` says of a text that is no JSON, or no object: users know these words, not Python's."""

from __future__ import annotations

import json
from json import JSONDecodeError
from typing import NoReturn

__all__ = ("JSONDecodeError", "kind", "no_object", "syntax")

# Python's complaint → what Go says of the character at the same place.
_WHERE = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
}
_KINDS: dict[type, str] = {dict: "object", list: "array", str: "string", bool: "bool", type(None): "null"}


def no_object(data: bytes) -> str:
    """Why the bytes are no object, empty where they are one; ``null`` passes, as it does in Go."""
    text = data.decode(errors="replace")
    try:
        parsed = json.loads(text, parse_constant=_refuse, parse_int=float)  # Python reads no integer of 5,000 digits
    except json.JSONDecodeError as err:
        return syntax(err)
    except RecursionError:
        return "exceeded max depth"
    if parsed is None or isinstance(parsed, dict):
        return ""
    return f"json: cannot unmarshal {kind(parsed)} into Go value of type map[string]interface {{}}"


def kind(value: object) -> str:
    """Name the JSON kind of a value: ``array``, ``number``."""
    return _KINDS.get(type(value), "number")


def _refuse(word: str) -> NoReturn:
    """``NaN`` and ``Infinity`` are Python's own."""
    raise json.JSONDecodeError("Expecting value", word, 0)


def syntax(err: JSONDecodeError) -> str:
    """Say what Go's decoder says of the same text."""
    text, at = err.doc, err.pos
    if err.msg.startswith("Invalid \\escape"):
        at += 1  # Go names the character after the backslash
    if err.msg.startswith("Unterminated string") or at >= len(text):
        return "unexpected end of JSON input"
    where = next((message for ours, message in _WHERE.items() if err.msg.startswith(ours)), "")
    if not where:  # a comma is missing, in the innermost array or object
        where = "after array element" if _in_array(text[:at]) else "after object key:value pair"
    sign = {"'": "\\'", '"': '"'}.get(text[at], json.dumps(text[at], ensure_ascii=False)[1:-1])
    return f"invalid character '{sign}' {where}"


def _in_array(before: str) -> bool:
    """Whether the innermost bracket that is open at the end is one of an array. What stands before is well-formed."""
    open_brackets: list[str] = []
    quoted = escaped = False
    for sign in before:
        if quoted:
            quoted = escaped or sign != '"'
            escaped = sign == "\\" and not escaped
        elif sign == '"':
            quoted = True
        elif sign in "[{":
            open_brackets.append(sign)
        elif sign in "]}":
            open_brackets.pop()
    return open_brackets[-1] == "["
