"""A number or a name: ``8080``, ``http`` (apimachinery's ``util/intstr``)."""

from __future__ import annotations

import re

from kubelab.api.intstr.intstr_pb2 import IntOrString

INT, STRING = 0, 1
_INT32 = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,10}", re.ASCII)


def from_int(number: int) -> IntOrString:
    return IntOrString(type=INT, intVal=number)


def from_string(name: str) -> IntOrString:
    return IntOrString(type=STRING, strVal=name)


def parse(text: str) -> IntOrString:
    """A number where the text is one that fits 32 bits, else a name."""
    if _INT32.fullmatch(text) and -(2**31) <= int(text) < 2**31:
        return from_int(int(text))
    return from_string(text)


def is_set(value: IntOrString) -> bool:
    """Whether it says anything: zero and the empty name do not."""
    return bool(value.strVal if value.type == STRING else value.intVal)


def text(value: IntOrString) -> str:
    """As people write it."""
    return value.strVal if value.type == STRING else str(value.intVal)


def scaled(value: IntOrString, total: int, *, round_up: bool) -> int:
    """Give the number that a count or a percentage of ``total`` means (upstream's ``GetScaledValueFromIntOrPercent``).

    Raises ValueError for a text that is no percentage.
    """
    if value.type != STRING:
        return value.intVal
    percent = value.strVal.removesuffix("%")
    if percent == value.strVal or not _DIGITS.fullmatch(percent):
        raise ValueError(f"invalid value {value.strVal!r}: expected a number or a percentage such as 25%")
    product = int(percent) * total
    return -(-product // 100) if round_up else product // 100
