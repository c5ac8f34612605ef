"""Quantities in CEL (https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-quantity-library).

The library has no types of others' making, so a quantity is a map that holds the number, as a fraction in lowest terms:
equal quantities are equal maps, however they were written.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from kubelab.apimachinery import quantity

_KEY = "quantity"
_INT64 = 2**63
Value = dict[str, Any]


def functions(library: Any) -> list[Any]:
    """Declare the functions. ``library`` is the module of CEL."""
    kinds = library.Type
    value, yes, whole, real = kinds.Map(kinds.STRING, kinds.DYN), kinds.BOOL, kinds.INT, kinds.DOUBLE

    def overload(identity: str, gives: Any, takes: list[Any], function: Callable[..., Any]) -> Any:
        return library.Overload(identity, gives, takes, True, function)

    def member(name: str, gives: Any, function: Callable[..., Any], *more: Any) -> Any:
        takes = [value, *more]
        return library.FunctionDecl(name, [overload(f"quantity_{name}", gives, takes, function)])

    def sums(name: str, function: Callable[[Value, Value | int], Value]) -> Any:
        both = [
            overload(f"quantity_{name}", value, [value, value], function),
            overload(f"quantity_{name}_int", value, [value, whole], function),
        ]
        return library.FunctionDecl(name, both)

    parse = library.Overload("string_to_quantity", value, [kinds.STRING], False, _parse)
    return [
        library.FunctionDecl("quantity", [parse]),
        sums("add", _add),
        sums("sub", _sub),
        member("isLessThan", yes, _is_less, value),
        member("isGreaterThan", yes, _is_greater, value),
        member("compareTo", whole, _compare, value),
        member("sign", whole, _sign),
        member("isInteger", yes, _is_integer),
        member("asInteger", whole, _as_integer),
        member("asApproximateFloat", real, _as_float),
    ]


def _parse(text: str) -> Value:
    if not text:
        raise quantity.QuantityError(quantity.FORMAT_MESSAGE)
    return _made(quantity.parse(text))


def _made(number: Fraction) -> Value:
    return {_KEY: str(number)}


def _of(value: Value | int) -> Fraction:
    """Give the number of a quantity; ValueError for a map that is none."""
    text = value if isinstance(value, int) else value.get(_KEY)
    if not isinstance(text, str | int):
        raise ValueError("no such overload")
    return Fraction(text)


def _add(one: Value, other: Value | int) -> Value:
    return _made(_of(one) + _of(other))


def _sub(one: Value, other: Value | int) -> Value:
    return _made(_of(one) - _of(other))


def _is_less(one: Value, other: Value) -> bool:
    return _of(one) < _of(other)


def _is_greater(one: Value, other: Value) -> bool:
    return _of(one) > _of(other)


def _compare(one: Value, other: Value) -> int:
    return (_of(one) > _of(other)) - (_of(one) < _of(other))


def _sign(value: Value) -> int:
    return (_of(value) > 0) - (_of(value) < 0)


def _is_integer(value: Value) -> bool:
    number = _of(value)
    return number.denominator == 1 and -_INT64 <= number < _INT64


def _as_integer(value: Value) -> int:
    if not _is_integer(value):
        raise ValueError("cannot convert value to integer")
    return int(_of(value))


def _as_float(value: Value) -> float:
    return float(_of(value))
