"""Complaints about fields, in the words of ``k8s.io/apimachinery/pkg/util/validation/field``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from kubelab.apimachinery.errors import Cause

NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
_ESCAPES = {sign: f"\\{letter}" for sign, letter in zip('\\"\a\b\f\n\r\t\v', '\\"abfnrtv', strict=True)}


class Raw(str):
    """A value that is shown as it stands, for what Go prints without quotes."""

    __slots__ = ()


def shown(value: object) -> str:
    """A value as Go prints it in these messages; None is a pointer to nothing."""
    match value:
        case Raw():
            return value
        case None:
            return '"null"'
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case Mapping():
            pairs = cast("Mapping[str, str]", value)
            inside = ", ".join(f"{shown(k)}:{shown(v)}" for k, v in sorted(pairs.items()))
            return f"map[string]string{{{inside}}}" if inside else "map[string]string(nil)"
        case Sequence():
            inside = ", ".join(shown(item) for item in cast("Sequence[str]", value))
            return f"[]string{{{inside}}}" if inside else "[]string(nil)"
        case _:
            return str(value)


def quoted(text: str) -> str:
    """Go's ``%q``."""
    if text.isprintable() and "\\" not in text and '"' not in text:
        return f'"{text}"'
    return '"' + "".join(_ESCAPES.get(sign) or (sign if sign.isprintable() else _code(sign)) for sign in text) + '"'


def _code(sign: str) -> str:
    number = ord(sign)
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def required(field: str, detail: str = "") -> Cause:
    return Cause(field, f"Required value{': ' + detail if detail else ''}", "FieldValueRequired")


def exactly_one(field: str, given: Sequence[str], what: str) -> list[Cause]:
    """Complain where none, or more than one, of the parts that stand for each other is ``given``: their names."""
    if not given:
        return [required(field, f"must specify a {what} type")]
    return [forbidden(f"{field}.{name}", f"may not specify more than 1 {what} type") for name in given[1:]]


def invalid(field: str, value: object, detail: str) -> Cause:
    return Cause(field, f"Invalid value: {shown(value)}: {detail}", "FieldValueInvalid")


def invalid_whole(field: str, detail: str) -> Cause:
    """Complain of a part as a whole, whose value the message leaves out."""
    return Cause(field, f"Invalid value: {detail}", "FieldValueInvalid")


def at_most(field: str, count: int, limit: int) -> list[Cause]:
    """Complain of a list with too many items."""
    if count <= limit:
        return []
    return [Cause(field, f"Too many: {count}: must have at most {limit} items", "FieldValueTooMany")]


def unsupported(field: str, value: object, supported: Iterable[str]) -> Cause:
    message = ", ".join(quoted(one) for one in supported)
    return Cause(field, f"Unsupported value: {shown(value)}: supported values: {message}", "FieldValueNotSupported")


def duplicate(field: str, value: object, detail: str = "") -> Cause:
    message = f": {detail}" if detail else ""
    return Cause(field, f"Duplicate value: {shown(value)}{message}", "FieldValueDuplicate")


def forbidden(field: str, detail: str) -> Cause:
    return Cause(field, f"Forbidden: {detail}", "FieldValueForbidden")


def not_found(field: str, value: object) -> Cause:
    return Cause(field, f"Not found: {shown(value)}", "FieldValueNotFound")


def too_long(field: str, limit: int) -> Cause:
    return Cause(field, f"Too long: may not be more than {limit} bytes", "FieldValueTooLong")


def each(field: str, value: object, problems: Iterable[str]) -> list[Cause]:
    """One complaint for each problem that a name check found."""
    return [invalid(field, value, problem) for problem in problems]


def one_of(field: str, value: str, supported: Sequence[str]) -> list[Cause]:
    """Complain unless the value is there and one of these."""
    if value in supported:
        return []
    return [unsupported(field, value, supported) if value else required(field)]


def non_negative(field: str, value: int) -> list[Cause]:
    return [invalid(field, value, NEGATIVE)] if value < 0 else []


def immutable(field: str, value: object) -> Cause:
    return invalid(field, value, IMMUTABLE)


def descending_path(field: str, path: str) -> list[Cause]:
    """Complain of a path that leads out of its folder (upstream's validateLocalDescendingPath)."""
    complaints: list[Cause] = []
    if path.startswith("/"):
        complaints.append(invalid(field, path, "must be a relative path"))
    if ".." in path.split("/"):
        complaints.append(invalid(field, path, "must not contain '..'"))
    return complaints
