"""Amounts such as ``500m``, ``64Mi`` or ``1e3``, exactly.

Reading, writing and rounding are those of apimachinery's ``resource.Quantity``
(https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/): what is too small for a nanounit is
one nanounit, and rounding goes away from zero, so that a small request never becomes none. Amounts above
:data:`MAX` count as MAX. The same texts recur often in a cluster, so parsed texts are cached.

:func:`parse` and the functions that format raise for a text that is no quantity. :func:`amount`, :func:`value`,
:func:`milli_value` and :func:`total` read stored objects: they take such a text, which no api-server stores, as 0.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache

from kubelab.api.resource.quantity_pb2 import Quantity

FORMAT_MESSAGE = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"  # upstream's words
)
NUMERIC_MESSAGE = "unable to parse numeric part of quantity"
SUFFIX_MESSAGE = "unable to parse quantity's suffix"

MAX = 2**63 - 1  # of an amount, in either direction
MAX_TEXT = 256  # characters; a text of thousands of digits is refused instead of computed

_SHAPE = re.compile(r"([+-]?)([0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+", re.ASCII)
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]{1,3})", re.ASCII)
_NANO = Fraction(1, 10**9)
_BINARY = {suffix: 1024**n for n, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_DECIMAL = {
    "n": _NANO,
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{suffix: Fraction(1000**n) for n, suffix in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
}


class QuantityError(ValueError):
    """The text is no quantity."""


@lru_cache(maxsize=4096)
def parse(text: str) -> Fraction:
    """Give the exact amount; a field that is not set is 0. QuantityError when the text is no quantity."""
    if not text:
        return Fraction(0)
    if len(text) > MAX_TEXT:
        raise QuantityError(NUMERIC_MESSAGE)
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise QuantityError(FORMAT_MESSAGE)
    sign, digits, suffix = match.groups()
    if not _NUMBER.fullmatch(digits):
        raise QuantityError(NUMERIC_MESSAGE)
    exact = Fraction(digits)
    if suffix in _DECIMAL:
        exact *= _DECIMAL[suffix]
    elif suffix in _BINARY:
        exact *= _BINARY[suffix]
    elif exponent := _EXPONENT.fullmatch(suffix):
        exact *= Fraction(10) ** int(exponent[1])
    else:
        raise QuantityError(SUFFIX_MESSAGE)
    if (exact / _NANO).denominator != 1:
        exact = _round(exact, _NANO)
    exact = min(exact, Fraction(MAX))
    return -exact if sign == "-" else exact


def amount(quantity: Quantity | str) -> Fraction:
    """The exact amount of a message or of a text; 0 for what is no quantity."""
    return _amount(quantity if isinstance(quantity, str) else quantity.string)


def value(quantity: Quantity | str) -> int:
    """Whole units, rounded away from zero: bytes, pods; 0 for what is no quantity."""
    return _value(quantity if isinstance(quantity, str) else quantity.string)


def milli_value(quantity: Quantity | str) -> int:
    """Thousandths, rounded away from zero and no more than :data:`MAX`: processor time; 0 for what is no quantity."""
    return _milli_value(quantity if isinstance(quantity, str) else quantity.string)


def compare(one: Quantity | str, other: Quantity | str) -> int:
    """-1, 0 or 1: whether the first is less than, equal to or more than the second, however they are written."""
    left, right = (parse(q if isinstance(q, str) else q.string) for q in (one, other))
    return (left > right) - (left < right)


def add(*quantities: Quantity | str) -> str:
    """The sum in canonical form, written in the way of the first that is not zero."""
    texts = [q if isinstance(q, str) else q.string for q in quantities]
    written = next((text for text in texts if parse(text)), "")
    total = sum((parse(text) for text in texts), Fraction(0))
    return _write(max(Fraction(-MAX), min(total, Fraction(MAX))), _suffix(written))


def total(*texts: str) -> str:
    """The sum of stored texts, as :func:`add` gives it; what is no quantity counts as 0."""
    return add(*(text if _is_quantity(text) else "0" for text in texts))


@lru_cache(maxsize=4096)
def _is_quantity(text: str) -> bool:
    try:
        parse(text)
    except QuantityError:
        return False
    return True


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The form that the api-server stores: no fraction, the largest suffix of the kind that was written.

    ``0.5`` → ``500m``, ``1024Mi`` → ``1Gi``, ``1500m`` → ``1500m``, ``1e3`` → ``1e3``, ``+1`` → ``1``.
    """
    return _write(parse(text), _suffix(text))


@lru_cache(maxsize=4096)
def stored(text: str) -> str:
    """The canonical form of an amount of a resource, which the api-server keeps no finer than thousandths."""
    exact = parse(text)
    return _write(_round(exact, _DECIMAL["m"]), _suffix(text))


@lru_cache(maxsize=4096)
def _amount(text: str) -> Fraction:
    try:
        return parse(text)
    except QuantityError:
        return Fraction(0)


@lru_cache(maxsize=4096)
def _value(text: str) -> int:
    return int(_round(_amount(text), _DECIMAL[""]))


@lru_cache(maxsize=4096)
def _milli_value(text: str) -> int:
    return max(-MAX, min(int(_round(_amount(text), _DECIMAL["m"]) * 1000), MAX))


def _round(exact: Fraction, unit: Fraction) -> Fraction:
    """The nearest multiple of ``unit`` that is not closer to zero."""
    steps = math.ceil(abs(exact) / unit) * unit
    return -steps if exact < 0 else steps


def _suffix(text: str) -> str:
    return text.lstrip("+-0123456789.")


def _write(exact: Fraction, suffix: str) -> str:
    """The canonical text, with a suffix of the same kind as the given one."""
    if exact == 0:
        return "0"
    if _EXPONENT.fullmatch(suffix):
        return _write_exponent(exact)
    if suffix in _BINARY and exact.denominator == 1:
        for name, factor in reversed(_BINARY.items()):
            if exact % factor == 0:
                return f"{exact // factor}{name}"
        # below 1024 upstream writes the decimal form, which for fewer than 1000 is the bare number
        if abs(exact) >= 1024:
            return str(exact)
    for name, factor in reversed(_DECIMAL.items()):
        if (exact / factor).denominator == 1:
            return f"{exact / factor}{name}"
    raise AssertionError("a quantity is a whole number of nanounits")


def _write_exponent(exact: Fraction) -> str:
    """``12e6``: the exponent is the largest multiple of three that leaves no fraction."""
    digits, exponent = exact / _NANO, -9
    while (digits / 1000).denominator == 1:
        digits, exponent = digits / 1000, exponent + 3
    return f"{digits}e{exponent}" if exponent else str(digits)
