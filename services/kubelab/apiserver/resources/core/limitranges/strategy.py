"""Limit ranges: which bounds agree with each other (upstream's ValidateLimitRange and SetDefaults_LimitRangeItem)."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.api.core.v1 import limits_pb2
from kubelab.api.resource.quantity_pb2 import Quantity
from kubelab.apimachinery import quantity
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, resources
from kubelab.apiserver.strategies.base import Strategy

CONTAINER, POD, CLAIM = "Container", "Pod", "PersistentVolumeClaim"
Amounts = Mapping[str, Quantity]
_BOUNDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class LimitRangeStrategy(Strategy[limits_pb2.LimitRange]):
    def default(self, obj: limits_pb2.LimitRange) -> None:
        for item in obj.spec.limits:
            for field in _BOUNDS:
                resources.store(getattr(item, field))
            if item.type == CONTAINER:
                _fill(item.default, item.max)
                _fill(item.defaultRequest, item.default)
                _fill(item.defaultRequest, item.min)

    def validate_content(self, obj: limits_pb2.LimitRange) -> list[Cause]:
        complaints: list[Cause] = []
        seen: set[str] = set()
        for number, item in enumerate(obj.spec.limits):
            here = f"spec.limits[{number}]"
            complaints += causes.each(f"{here}.type", item.type, _type_problems(item.type))
            if item.type in seen:
                complaints.append(causes.duplicate(f"{here}.type", item.type))
            seen.add(item.type)
            wrong = _amounts(item, here)
            complaints += wrong or _agreement(item, here)
        return complaints


def _fill(to: Amounts, source: Amounts) -> None:
    for name, amount in source.items():
        if name not in to:
            to[name].CopyFrom(amount)


def _type_problems(kind: str) -> list[str]:
    if "/" not in kind and kind not in (CONTAINER, POD, CLAIM):
        return ["must be a standard limit type or fully qualified"]
    return []


def _amounts(item: limits_pb2.LimitRangeItem, here: str) -> list[Cause]:
    """Complain of names and amounts by themselves."""
    complaints: list[Cause] = []
    check_name = resources.container_name if item.type in (CONTAINER, POD) else resources.resource_name
    for field in _BOUNDS:
        amounts: Amounts = getattr(item, field)
        if item.type == POD and field.startswith("default"):
            if amounts:
                complaints.append(causes.forbidden(f"{here}.{field}", "may not be specified when `type` is 'Pod'"))
            continue
        for name in sorted(amounts):
            complaints += check_name(name, f"{here}.{field}[{name}]")
            complaints += resources.amount(name, amounts[name].string, f"{here}.{field}[{name}]")
    if item.type == CLAIM and "storage" not in item.min and "storage" not in item.max:
        message = "either minimum or maximum storage value is required, but neither was provided"
        complaints.append(causes.required(f"{here}.limits", message))
    return complaints


def _agreement(item: limits_pb2.LimitRangeItem, here: str) -> list[Cause]:
    """Complain of bounds that contradict each other; every amount is a quantity."""
    complaints: list[Cause] = []
    for name in sorted({*item.max, *item.min, *item.default, *item.defaultRequest, *item.maxLimitRequestRatio}):
        low, high = _text(item.min, name), _text(item.max, name)
        default, request = _text(item.default, name), _text(item.defaultRequest, name)
        ordered = (  # the lesser, its name, the greater, its name, the field that is blamed
            (low, "min", high, "max", "min"),
            (low, "min", request, "default request", "defaultRequest"),
            (request, "default request", high, "max", "defaultRequest"),
            (request, "default request", default, "default limit", "defaultRequest"),
            (low, "min", default, "default", "default"),
            (default, "default", high, "max", "default"),
        )
        for lesser, its_name, greater, other_name, field in ordered:
            if lesser and greater and quantity.compare(lesser, greater) > 0:
                message = f"{its_name} value {lesser} is greater than {other_name} value {greater}"
                blamed = {"min": low, "defaultRequest": request, "default": default}[field]
                complaints.append(causes.invalid(f"{here}.{field}[{name}]", causes.Raw(blamed), message))
        complaints += _ratio(item, name, f"{here}.maxLimitRequestRatio[{name}]")
        overcommitted = default and request and quantity.compare(default, request)
        if overcommitted and not resources.overcommit_allowed(name):
            message = f"default value {default} must equal to defaultRequest value {request} in {name}"
            complaints.append(causes.invalid(f"{here}.defaultRequest[{name}]", causes.Raw(request), message))
    return complaints


def _ratio(item: limits_pb2.LimitRangeItem, name: str, field: str) -> list[Cause]:
    ratio, low, high = _text(item.maxLimitRequestRatio, name), _text(item.min, name), _text(item.max, name)
    if not ratio:
        return []
    if quantity.compare(ratio, "1") < 0:
        return [causes.invalid(field, causes.Raw(ratio), f"ratio {ratio} is less than 1")]
    if low and high and quantity.amount(low):
        most = quantity.amount(high) / quantity.amount(low)
        if quantity.amount(ratio) > most:
            message = f"ratio {ratio} is greater than max/min = {float(most):f}"
            return [causes.invalid(field, causes.Raw(ratio), message)]
    return []


def _text(amounts: Amounts, name: str) -> str:
    return amounts[name].string if name in amounts else ""
