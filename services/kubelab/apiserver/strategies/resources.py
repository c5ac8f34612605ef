"""Amounts of resources: what may be asked for, and how much
(upstream: ``pkg/apis/core/helper`` and validateResourceRequirements)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from kubelab.api.core.v1 import core_pb2
from kubelab.api.resource.quantity_pb2 import Quantity
from kubelab.apimachinery import names, quantity
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes

Amounts = Mapping[str, Quantity]

CONTAINER = frozenset(("cpu", "memory", "ephemeral-storage"))
_HUGE_PAGES = "hugepages-"
_COUNTS = frozenset(
    (
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    )
)
_QUOTAS = {f"{side}.{name}" for side in ("requests", "limits") for name in CONTAINER}
_STANDARD = CONTAINER | _COUNTS | _QUOTAS | {"storage", "requests.storage"}
_NOT_WHOLE = "must be an integer"


def store(amounts: Amounts) -> None:
    """Bring amounts to the form in which they are stored; what is no quantity stays, for validation to name."""
    for amount in amounts.values():
        text = amount.string
        try:
            form = quantity.stored(text) if text else ""
        except quantity.QuantityError:
            continue
        if form != text:
            amount.string = form


def validate(resources: core_pb2.ResourceRequirements, field: str) -> list[Cause]:
    """All complaints about what a container asks for."""
    limits = {name: amount.string for name, amount in resources.limits.items()}
    requests = {name: amount.string for name, amount in resources.requests.items()}
    if all(_sound(*one) for one in limits.items()) and all(
        _sound(name, text) and _within(text, limits.get(name)) for name, text in requests.items()
    ):
        return []  # the usual case, of which everything is remembered
    return _complaints(limits, requests, field)


@lru_cache(maxsize=4096)
def _sound(name: str, text: str) -> bool:
    """Whether there is nothing to say about an amount of what every node has."""
    return name in CONTAINER and not amount(name, text, "")


@lru_cache(maxsize=4096)
def _within(request: str, limit: str | None) -> bool:
    return limit is None or quantity.compare(request, limit) <= 0


def _complaints(limits: Mapping[str, str], requests: Mapping[str, str], field: str) -> list[Cause]:
    complaints: list[Cause] = []
    for name in sorted(limits):
        complaints += container_name(name, f"{field}.limits[{name}]")
        complaints += amount(name, limits[name], f"{field}.limits[{name}]")
        complaints += _pages(name, limits[name], f"{field}.limits[{name}]")
    for name in sorted(requests):
        here = f"{field}.requests[{name}]"
        complaints += container_name(name, here)
        complaints += amount(name, requests[name], here)
        if name in limits:
            complaints += _against_limit(name, requests[name], limits[name], f"{field}.requests")
        elif not overcommit_allowed(name):
            message = "Limit must be set for non overcommitable resources"
            complaints.append(causes.required(f"{field}.limits", message))
        complaints += _pages(name, requests[name], here)
    named = {*limits, *requests}
    if any(name.startswith(_HUGE_PAGES) for name in named) and not named & {"cpu", "memory"}:
        complaints.append(causes.forbidden(field, "HugePages require cpu or memory"))
    return complaints


def amount(name: str, text: str, field: str) -> list[Cause]:
    """Complain of an amount that is none, is negative, or is a fraction of what only comes whole."""
    try:
        exact = quantity.parse(text)
    except quantity.QuantityError as err:
        return [causes.invalid(field, text, str(err))]
    if not text:
        return [causes.invalid(field, text, quantity.FORMAT_MESSAGE)]
    complaints = [causes.invalid(field, text, causes.NEGATIVE)] if exact < 0 else []
    if (name in _COUNTS or _is_extended(name)) and exact.denominator != 1:
        complaints.append(causes.invalid(field, causes.Raw(text), _NOT_WHOLE))
    return complaints


def _against_limit(name: str, request: str, limit: str, field: str) -> list[Cause]:
    try:
        order = quantity.compare(request, limit)
    except quantity.QuantityError:
        return []  # it is complained of already
    if order and not overcommit_allowed(name):
        return [causes.invalid(field, request, f"must be equal to {name} limit of {limit}")]
    if order > 0:
        return [causes.invalid(field, request, f"must be less than or equal to {name} limit of {limit}")]
    return []


def _pages(name: str, text: str, field: str) -> list[Cause]:
    """Complain of huge pages that are none: a size that is no whole number, an amount that is no multiple of it."""
    if not name.startswith(_HUGE_PAGES):
        return []
    try:
        size, amount = quantity.parse(name.removeprefix(_HUGE_PAGES)), math.ceil(quantity.parse(text))
    except quantity.QuantityError:
        size, amount = quantity.parse("0"), 0
    if size > 0 and size.denominator == 1 and amount % size == 0:
        return []
    return [causes.invalid(field, text, f"{text} is not positive integer multiple of {name}")]


def resource_name(name: str, field: str) -> list[Cause]:
    """Complain of a name that no resource has (validateResourceName)."""
    complaints = causes.each(field, name, names.qualified_name(name))
    if not complaints and "/" not in name and not _is_huge_pages(name) and name not in _STANDARD:
        complaints.append(causes.invalid(field, name, "must be a standard resource type or fully qualified"))
    return complaints


def quota_name(name: str, field: str) -> list[Cause]:
    """Complain of a name that no quota can bound (ValidateResourceQuotaResourceName)."""
    complaints = resource_name(name, field)
    if "/" not in name and not is_quota_resource(name):
        complaints.append(causes.invalid(field, name, "must be a standard resource for quota"))
    return complaints


def is_quota_resource(name: str) -> bool:
    """Whether every quota knows the resource (IsStandardQuotaResourceName)."""
    return name in _STANDARD - {"storage"} or _is_huge_pages(name)


def _is_huge_pages(name: str) -> bool:
    return name.removeprefix("requests.").startswith(_HUGE_PAGES)


def container_name(name: str, field: str) -> list[Cause]:
    """Complain of a name that no container can ask for (validateContainerResourceName)."""
    if name in CONTAINER:
        return []
    complaints = resource_name(name, field)
    huge = name.startswith(_HUGE_PAGES)
    if "/" not in name:
        if not huge:
            complaints.append(causes.invalid(field, name, "must be a standard resource for containers"))
    elif not _is_native(name) and not _is_extended(name):
        complaints.append(causes.invalid(field, name, "doesn't follow extended resource name standard"))
    return complaints


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _is_extended(name: str) -> bool:
    if _is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def overcommit_allowed(name: str) -> bool:
    """Whether a limit may be more than its request."""
    return _is_native(name) and not name.startswith(_HUGE_PAGES)
