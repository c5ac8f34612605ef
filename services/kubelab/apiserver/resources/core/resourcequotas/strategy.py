"""Resource quotas: what can be bounded, and which scopes go together (upstream's ValidateResourceQuota)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubelab.api.core.v1 import limits_pb2
from kubelab.api.resource.quantity_pb2 import Quantity
from kubelab.apimachinery.core import quota
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, resources
from kubelab.apiserver.strategies.base import Strategy

_CONFLICTS = ((quota.BEST_EFFORT, quota.NOT_BEST_EFFORT), (quota.TERMINATING, quota.NOT_TERMINATING))


class ResourceQuotaStrategy(Strategy[limits_pb2.ResourceQuota]):
    def default(self, obj: limits_pb2.ResourceQuota) -> None:
        for amounts in (obj.spec.hard, obj.status.hard, obj.status.used):
            resources.store(amounts)

    def validate_content(self, obj: limits_pb2.ResourceQuota) -> list[Cause]:
        spec = obj.spec
        complaints = _amounts(spec.hard, "spec.hard")
        scopes = list(spec.scopes)
        complaints += _scopes(scopes, scopes, spec.hard, "spec.scopes")
        if spec.HasField("scopeSelector"):
            complaints += _selector(spec)
        return complaints

    def validate_change(self, obj: limits_pb2.ResourceQuota, old: limits_pb2.ResourceQuota) -> list[Cause]:
        if set(obj.spec.scopes) == set(old.spec.scopes):
            return []
        return [causes.immutable("spec.scopes", list(obj.spec.scopes))]

    def validate_status_update(self, obj: limits_pb2.ResourceQuota, old: limits_pb2.ResourceQuota) -> list[Cause]:
        complaints = super().validate_status_update(obj, old)
        return complaints + _amounts(obj.status.hard, "status.hard") + _amounts(obj.status.used, "status.used")


def _amounts(amounts: Mapping[str, Quantity], field: str) -> list[Cause]:
    complaints: list[Cause] = []
    for name in sorted(amounts):
        complaints += resources.quota_name(name, f"{field}[{name}]")
        complaints += resources.amount(name, amounts[name].string, f"{field}[{name}]")
    return complaints


def _scopes(scopes: Sequence[str], shown: object, hard: Mapping[str, Quantity], field: str) -> list[Cause]:
    complaints: list[Cause] = []
    for scope in scopes:
        if scope not in quota.SCOPES:
            complaints.append(causes.invalid(field, shown, "unsupported scope"))
        complaints += [
            causes.invalid(field, shown, "unsupported scope applied to resource")
            for name in sorted(hard)
            if resources.is_quota_resource(name) and not quota.scope_is_for(scope, name)
        ]
    for pair in _CONFLICTS:
        if {*pair} <= {*scopes}:
            complaints.append(causes.invalid(field, shown, "conflicting scopes"))
    return complaints


def _selector(spec: limits_pb2.ResourceQuotaSpec) -> list[Cause]:
    field = "spec.scopeSelector.matchExpressions"
    terms = spec.scopeSelector.matchExpressions
    complaints: list[Cause] = []
    for term in terms:
        complaints += _scopes([term.scopeName], term.scopeName, spec.hard, f"{field}.scopeName")
        only_exists = term.scopeName in quota.SCOPES and term.scopeName != quota.PRIORITY_CLASS
        if only_exists and term.operator != "Exists":
            message = (
                "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
                "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                "ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            complaints.append(causes.invalid(f"{field}.operator", term.operator, message))
        if term.operator in ("In", "NotIn"):
            if not term.values:
                message = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                complaints.append(causes.required(f"{field}.values", message))
        elif term.operator in ("Exists", "DoesNotExist"):
            if term.values:
                message = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                complaints.append(causes.invalid(f"{field}.values", list(term.values), message))
        else:
            complaints.append(causes.invalid(f"{field}.operator", term.operator, "not a valid selector operator"))
    names = [term.scopeName for term in terms]
    for pair in _CONFLICTS:
        if {*pair} <= {*names}:
            complaints.append(causes.invalid(field, names, "conflicting scopes"))
    return complaints
