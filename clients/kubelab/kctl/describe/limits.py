"""Resource quotas and limit ranges, by themselves and as a part of their namespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubelab.api.core.v1 import limits_pb2
from kubelab.api.resource.quantity_pb2 import Quantity
from kubelab.kctl.describe.writer import Writer

_SCOPES = {
    "Terminating": "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before "
    "being actively terminated by the system.",
    "NotTerminating": "Matches all pods that do not have an active deadline. These pods usually include long running "
    "pods whose container command is not expected to terminate.",
    "BestEffort": "Matches all pods that do not have resource requirements set. These pods have a best effort quality "
    "of service.",
    "NotBestEffort": "Matches all pods that have at least one resource requirement set. These pods have a burstable or "
    "guaranteed quality of service.",
}
_BOUNDS = ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")
_TITLES = "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio"
_RULES = "----\t--------\t---\t---\t---------------\t-------------\t-----------------------"


def resource_quota(quota: limits_pb2.ResourceQuota) -> str:
    """Describe one quota."""
    w = Writer()
    w.field("Name", quota.metadata.name)
    w.field("Namespace", quota.metadata.namespace)
    _scopes(w, quota, 0, " * ")
    w.line("Resource\tUsed\tHard")
    w.line("--------\t----\t----")
    _usage(w, quota, 0)
    return w.render()


def limit_range(limits: limits_pb2.LimitRange) -> str:
    """Describe one limit range."""
    w = Writer()
    w.field("Name", limits.metadata.name)
    w.field("Namespace", limits.metadata.namespace)
    w.line(_TITLES)
    w.line(_RULES)
    _items(w, limits, "")
    return w.render()


def write_quotas(w: Writer, quotas: Sequence[limits_pb2.ResourceQuota]) -> None:
    """Write the quotas of a namespace."""
    if not quotas:
        w.line("No resource quota.")
        return
    w.line("Resource Quotas")
    for quota in sorted(quotas, key=lambda quota: quota.metadata.name):
        w.field("Name", quota.metadata.name, 1)
        _scopes(w, quota, 1, "* ")
        w.line("Resource\tUsed\tHard", 1)
        w.line("--------\t---\t---", 1)
        _usage(w, quota, 1)


def write_limits(w: Writer, ranges: Sequence[limits_pb2.LimitRange]) -> None:
    """Write the limit ranges of a namespace."""
    if not ranges:
        w.line("No LimitRange resource.")
        return
    w.line("Resource Limits")
    w.line(f" {_TITLES}")
    w.line(f" {_RULES}")
    for limits in ranges:
        _items(w, limits, " ")


def _scopes(w: Writer, quota: limits_pb2.ResourceQuota, level: int, bullet: str) -> None:
    scopes = sorted(quota.spec.scopes)
    if not scopes:
        return
    w.field("Scopes", ", ".join(scopes), level)
    for scope in scopes:
        if scope in _SCOPES:
            w.line(f"{bullet}{_SCOPES[scope]}", level)


def _usage(w: Writer, quota: limits_pb2.ResourceQuota, level: int) -> None:
    for name in sorted(quota.status.hard):
        used = quota.status.used[name].string if name in quota.status.used else "0"
        w.line(f"{name}\t{used}\t{quota.status.hard[name].string}", level)


def _items(w: Writer, limits: limits_pb2.LimitRange, prefix: str) -> None:
    for item in limits.spec.limits:
        bounds: list[Mapping[str, Quantity]] = [getattr(item, field) for field in _BOUNDS]
        for name in sorted({name for amounts in bounds for name in amounts}):
            cells = [amounts[name].string if name in amounts else "-" for amounts in bounds]
            w.line("\t".join((f"{prefix}{item.type}", name, *cells)))
