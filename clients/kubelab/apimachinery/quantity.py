"""Amounts such as ``500m``, ``64Mi`` or ``1e3``, exactly.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
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
_PATTERN = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i))?")
_BINARY = {suffix: 1024**n for n, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_DECIMAL = {
    "n": Fraction(1, 10**9),
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
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise QuantityError(FORMAT_MESSAGE)
    sign, digits, exponent, suffix = match.groups()
    amount = Fraction(digits)
    if exponent:
        amount *= Fraction(10) ** int(exponent[1:])
    elif suffix in _BINARY:
        amount *= _BINARY[suffix]
    else:
        amount *= _DECIMAL[suffix or ""]
    return -amount if sign == "-" else amount


def amount(quantity: Quantity | str) -> Fraction:
    """The exact amount of a message or of a text."""
    return parse(quantity if isinstance(quantity, str) else quantity.string)


def value(quantity: Quantity | str) -> int:
    """Whole units, rounded up: bytes, pods."""
    return math.ceil(amount(quantity))


def milli_value(quantity: Quantity | str) -> int:
    """Thousandths, rounded up: processor time."""
    return math.ceil(amount(quantity) * 1000)


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The form that the api-server stores: no fraction, the largest suffix of the kind that was written.

    ``0.5`` → ``500m``, ``1024Mi`` → ``1Gi``, ``1500m`` → ``1500m``, ``1e3`` → ``1e3``, ``+1`` → ``1``.
    """
    exact = parse(text)
    if exact == 0:
        return "0"
    suffix = re.sub(r"^[+-]?[\d.]+", "", text)
    if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix[1:].lstrip("+-").isdigit():
        exponent = next((e for e in range(18, -10, -3) if (exact / Fraction(10) ** e).denominator == 1), -9)
        digits = math.ceil(exact / Fraction(10) ** exponent)
        return f"{digits}e{exponent}" if exponent else str(digits)
    if suffix in _BINARY and exact.denominator == 1:
        for name, factor in reversed(_BINARY.items()):
            if exact % factor == 0:
                return f"{exact // factor}{name}"
        return str(exact)
    for name, factor in reversed(_DECIMAL.items()):
        if (exact / factor).denominator == 1:
            return f"{exact / factor}{name}"
    return f"{math.ceil(exact * 10**9)}n"
