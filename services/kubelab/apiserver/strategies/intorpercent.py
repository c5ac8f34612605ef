"""The rules of fields that take a count or a percentage (upstream: ValidatePositiveIntOrPercent and its neighbours in
``pkg/apis/apps/validation``)."""

from __future__ import annotations

import re

from kubelab.api.intstr.intstr_pb2 import IntOrString
from kubelab.apimachinery import intstr
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes

_PERCENT = re.compile(r"[0-9]+%", re.ASCII)
_NO_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)


def not_negative(field: str, value: IntOrString) -> list[Cause]:
    """Complain unless the value is a count from 0 on or a percentage."""
    if value.type != intstr.STRING:
        return causes.non_negative(field, value.intVal)
    return [] if _PERCENT.fullmatch(value.strVal) else [causes.invalid(field, shown(value), _NO_PERCENT)]


def at_most_all(field: str, value: IntOrString) -> list[Cause]:
    """Complain of more than 100 %."""
    if value.type != intstr.STRING or not _PERCENT.fullmatch(value.strVal) or int(value.strVal[:-1]) <= 100:
        return []
    return [causes.invalid(field, shown(value), "must not be greater than 100%")]


def is_zero(value: IntOrString) -> bool:
    """Say whether the value is ``0`` or ``0%``."""
    if value.type != intstr.STRING:
        return value.intVal == 0
    return bool(_PERCENT.fullmatch(value.strVal)) and int(value.strVal[:-1]) == 0


def shown(value: IntOrString) -> causes.Raw:
    """A value as Go prints the struct in messages."""
    text = causes.quoted(value.strVal)
    return causes.Raw(f"intstr.IntOrString{{Type:{value.type}, IntVal:{value.intVal}, StrVal:{text}}}")
