"""The functions that templates may call: Go's, and kubectl's ``exists`` and ``base64decode``."""

from __future__ import annotations

import base64
import binascii
import html
import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import quote_plus

from kubelab.apimachinery.jsonpath.evaluate import go_text
from kubelab.kctl.gotemplate.nodes import Int

_VERB = re.compile(r"%([-+# 0]*)(\d+|\*)?(?:\.(\d+))?(.)", re.DOTALL)


_TYPES = {
    str: "string",
    bool: "bool",
    int: "int64",
    Int: "int",
    float: "float64",
    dict: "map[string]interface {}",
}


class CallError(Exception):
    """A function does not take these arguments. The message is Go's."""


def truth(value: Any) -> bool:
    """Say whether a value is not empty."""
    return bool(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None:
            raise CallError("index of untyped nil")
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise CallError(f"value has type {type_of(key)}; should be string")
            value = cast(dict[str, Any], value).get(key)
        elif isinstance(value, (list, str)):
            found = cast(list[Any] | str, value)
            place = _place(key, len(found) - 1)
            value = found.encode()[place] if isinstance(found, str) else found[place]
        else:
            raise CallError(f"can't index item of type {type_of(value)}")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, (list, str)):
        raise CallError(f"can't slice item of type {type_of(value)}")
    found = cast(list[Any] | str, value)
    places = [_place(bound, len(found)) for bound in bounds]
    if len(places) > 2:
        raise CallError(f"too many slice indexes: {len(places)}")
    if len(places) == 2 and places[0] > places[1]:
        raise CallError(f"invalid slice index: {places[0]} > {places[1]}")
    return found[slice(*(places if len(places) > 1 else [*places, None]))] if places else found


def _place(key: Any, last: int) -> int:
    if isinstance(key, bool) or not isinstance(key, int):
        raise CallError(f"cannot index slice/array with type {type_of(key)}" if key is not None else "index of nil")
    if not 0 <= key <= last:
        raise CallError(f"index out of range: {key}")
    return key


def _len(value: Any) -> int:
    if isinstance(value, str):
        return Int(len(value.encode()))
    if isinstance(value, (list, dict)):
        return Int(len(cast(list[Any] | dict[str, Any], value)))
    raise CallError(
        "reflect: call of reflect.Value.Type on zero Value" if value is None else f"len of type {type_of(value)}"
    )


def type_of(value: Any) -> str:
    """Give the name of a value's type, as Go has it."""
    return "<nil>" if value is None else _TYPES.get(type(value), "[]interface {}")


def _kind(value: Any) -> str:
    if isinstance(value, (str, bool, int, float)):
        return type_of(value).removesuffix("64")
    return "" if value is None else "other"


def _eq(one: Any, *others: Any) -> bool:
    if not others:
        raise CallError("missing argument for comparison")
    for other in others:
        if _kind(one) != _kind(other):
            if one is not None and other is not None:
                raise CallError("incompatible types for comparison")
        elif _kind(one) == "other":
            raise CallError(f"non-comparable type {go_text(one)}: {type_of(one)}")
        elif one == other:
            return True
    return False


def _ne(one: Any, other: Any) -> bool:
    return not _eq(one, other)


def _not(value: Any) -> bool:
    return not truth(value)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def check(one: Any, other: Any) -> bool:
        for value in (one, other):
            if _kind(value) in ("", "other"):
                raise CallError("invalid type for comparison")
        if _kind(one) != _kind(other):
            raise CallError("incompatible types for comparison")
        if isinstance(one, bool):
            raise CallError("invalid type for comparison")
        return compare(one, other)

    return check


def _print(*values: Any) -> str:
    """Join as ``fmt.Sprint``: a space stands only between two values of which neither is text."""
    text = ""
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            text += " "
        text += go_text(value)
    return text


def _println(*values: Any) -> str:
    return " ".join(map(go_text, values)) + "\n"


def _printf(text: Any, *values: Any) -> str:
    if not isinstance(text, str):
        raise CallError(f"wrong type for value; expected string; got {type_of(text)}")
    rest = list(values)

    def verb(found: re.Match[str]) -> str:
        flags, width, precision, letter = found.groups()
        if letter == "%":
            return "%"
        if width == "*":
            width = str(rest.pop(0)) if rest and isinstance(rest[0], int) else ""
        if not rest:
            return f"%!{letter}(MISSING)"
        body = _verb(letter, rest.pop(0), flags, precision)
        if not width:
            return body
        if "-" in flags:
            return body.ljust(int(width))
        zeros = "0" in flags and body.lstrip("+-").replace(".", "").isalnum()
        sign = body[: len(body) - len(body.lstrip("+-"))] if zeros else ""
        return sign + body[len(sign) :].rjust(int(width) - len(sign), "0" if zeros else " ")

    written = _VERB.sub(verb, text)
    if rest:
        extra = ", ".join(f"{type_of(value)}={go_text(value)}" if value is not None else "<nil>" for value in rest)
        written += f"%!(EXTRA {extra})"
    return written


def _verb(letter: str, value: Any, flags: str, precision: str | None) -> str:
    """Write one value by its verb; one that does not fit is named, as Go does."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    whole = isinstance(value, int) and not isinstance(value, bool)
    plus = "+" if "+" in flags and number and value >= 0 else ""
    if letter == "v":
        return plus + go_text(value)
    if letter == "T":
        return type_of(value)
    if letter == "t" and isinstance(value, bool):
        return go_text(value)
    if letter == "d" and whole:
        return f"{plus}{value}"
    if letter in "xXob" and whole:
        return format(value, letter)
    if letter == "c" and isinstance(value, int):
        return chr(value)
    if letter in "feEgG" and isinstance(value, float):
        digits = f".{precision or 6}" if letter not in "gG" or precision else ""
        return plus + (format(value, digits + letter) if digits else go_text(value))
    if letter in "sqxX" and isinstance(value, str):
        shown = value[: int(precision)] if precision else value
        encoded = {"s": shown, "q": json.dumps(shown, ensure_ascii=False)}
        return encoded.get(letter) or (shown.encode().hex() if letter in "xX" else "")
    if letter in "sqd" and isinstance(value, (list, dict)):
        return _nested(letter, cast(list[Any] | dict[str, Any], value), flags, precision)
    return f"%!{letter}({'<nil>' if value is None else f'{type_of(value)}={go_text(value)}'})"


def _nested(letter: str, value: list[Any] | dict[str, Any], flags: str, precision: str | None) -> str:
    if isinstance(value, list):
        return f"[{' '.join(_verb(letter, element, flags, precision) for element in value)}]"
    parts = (f"{_verb(letter, k, flags, precision)}:{_verb(letter, value[k], flags, precision)}" for k in sorted(value))
    return f"map[{' '.join(parts)}]"


def _exists(value: Any, *keys: Any) -> bool:
    """Say whether ``index`` would find something (kubectl's own)."""
    try:
        return _index(value, *keys) is not None
    except CallError:
        return False


def _base64decode(value: Any) -> str:
    try:
        return base64.b64decode(str(value), validate=True).decode(errors="replace")
    except (binascii.Error, ValueError) as err:
        raise CallError(f"base64 decode failed: {err}") from err


def _escape_html(*values: Any) -> str:
    text = html.escape(_print(*values), quote=False)
    return text.replace('"', "&#34;").replace("'", "&#39;")


def _urlquery(*values: Any) -> str:
    return quote_plus(_print(*values))


def _escape_js(*values: Any) -> str:
    text = _print(*values).replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
    return re.sub(r"[<>&=\x00-\x1f]", lambda found: f"\\u{ord(found[0]):04X}", text)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "base64decode": _base64decode,
    "eq": _eq,
    "exists": _exists,
    "ge": _ordered(operator.ge),
    "gt": _ordered(operator.gt),
    "html": _escape_html,
    "index": _index,
    "js": _escape_js,
    "le": _ordered(operator.le),
    "len": _len,
    "lt": _ordered(operator.lt),
    "ne": _ne,
    "not": _not,
    "print": _print,
    "printf": _printf,
    "println": _println,
    "slice": _slice,
    "urlquery": _urlquery,
}
SHORT_CIRCUIT = ("and", "or")  # they evaluate no more arguments than they need
