"""Quantities: ``500m``, ``64Mi``, ``1e3``.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import functools
import math
import re
from fractions import Fraction

_FORM = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,3}))?")
_SUFFIXES = {
    "": Fraction(1),
    **{suffix: Fraction(1, 1000**n) for n, suffix in enumerate(("m", "u", "n"), 1)},
    **{suffix: Fraction(1000**n) for n, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{suffix: Fraction(1024**n) for n, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


@functools.lru_cache(maxsize=4096)  # a cluster writes few different quantities, again and again
def parse(text: str) -> Fraction:
    """Read a quantity exactly; "" is 0. Raises ValueError for what is none."""
    if not text:
        return Fraction(0)
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity")
    sign, digits, suffix, exponent = match.groups()
    amount = Fraction(digits) * _SUFFIXES[suffix or ""] * Fraction(10) ** int(exponent or 0)
    return -amount if sign == "-" else amount


def value(text: str) -> int:
    """Give whole units, rounded up: bytes of ``64Mi``, pods of ``110``."""
    return math.ceil(parse(text))


def milli_value(text: str) -> int:
    """Give thousandths, rounded up: ``100`` of ``100m``, ``1500`` of ``1.5``."""
    return math.ceil(parse(text) * 1000)
