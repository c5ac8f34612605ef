"""Complaints about fields, in the words of ``k8s.io/apimachinery/pkg/util/validation/field``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kubelab.apimachinery.errors import Cause


def shown(value: object) -> str:
    """A value as Go prints it in these messages."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, Mapping):
        inside = ", ".join(f"{shown(k)}:{shown(v)}" for k, v in sorted(value.items()))
        return f"map[string]string{{{inside}}}"
    return str(value)


def required(field: str, detail: str = "") -> Cause:
    return Cause(field, f"Required value{': ' + detail if detail else ''}", "FieldValueRequired")


def invalid(field: str, value: object, detail: str) -> Cause:
    return Cause(field, f"Invalid value: {shown(value)}: {detail}", "FieldValueInvalid")


def unsupported(field: str, value: str, supported: Iterable[str]) -> Cause:
    told = ", ".join(f'"{one}"' for one in supported)
    return Cause(field, f"Unsupported value: {shown(value)}: supported values: {told}", "FieldValueNotSupported")


def duplicate(field: str, value: object) -> Cause:
    return Cause(field, f"Duplicate value: {shown(value)}", "FieldValueDuplicate")


def forbidden(field: str, detail: str) -> Cause:
    return Cause(field, f"Forbidden: {detail}", "FieldValueForbidden")


def too_long(field: str, limit: int) -> Cause:
    return Cause(field, f"Too long: may not be more than {limit} bytes", "FieldValueTooLong")


def each(field: str, value: object, problems: Iterable[str]) -> list[Cause]:
    """One complaint for each problem that a name check found."""
    return [invalid(field, value, problem) for problem in problems]


def non_negative(field: str, value: int) -> list[Cause]:
    return [invalid(field, value, "must be greater than or equal to 0")] if value < 0 else []


def immutable(field: str, value: object) -> Cause:
    return invalid(field, value, "field is immutable")
