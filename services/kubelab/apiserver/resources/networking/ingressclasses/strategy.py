"""Ingress classes: their controller, which stays (upstream's ValidateIngressClass)."""

from __future__ import annotations

from typing import ClassVar

from kubelab.api.networking.v1 import networking_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy

MAX_CONTROLLER = 250


class IngressClassStrategy(Strategy[networking_pb2.IngressClass]):
    has_generation: ClassVar[bool] = True
    warns_of_updates: ClassVar[bool] = True

    def validate_content(self, obj: networking_pb2.IngressClass) -> list[Cause]:
        spec, complaints = obj.spec, list[Cause]()
        if len(spec.controller) > MAX_CONTROLLER:
            complaints.append(causes.too_long("spec.controller", MAX_CONTROLLER))
        complaints += _domain_prefixed("spec.controller", spec.controller)
        if spec.HasField("parameters"):
            complaints += _parameters(spec.parameters, "spec.parameters")
        return complaints

    def validate_change(self, obj: networking_pb2.IngressClass, old: networking_pb2.IngressClass) -> list[Cause]:
        if obj.spec.controller == old.spec.controller:
            return []
        return [causes.immutable("spec.controller", obj.spec.controller)]


def _domain_prefixed(field: str, text: str) -> list[Cause]:
    if not text:
        return [causes.required(field)]
    domain, slash, path = text.partition("/")
    if not slash or not domain or not path:
        return [causes.invalid(field, text, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    return causes.each(field, domain, names.dns_subdomain(domain))


def _parameters(p: networking_pb2.IngressClassParametersReference, field: str) -> list[Cause]:
    complaints = [
        causes.required(f"{field}.{part}", f"{part} is required") for part in ("kind", "name") if not getattr(p, part)
    ]
    if p.scope not in ("Cluster", "Namespace"):
        complaints += causes.one_of(f"{field}.scope", p.scope, ("Cluster", "Namespace"))
    elif p.scope == "Namespace" and not p.namespace:
        complaints.append(causes.required(f"{field}.namespace", "`parameters.scope` is set to 'Namespace'"))
    elif p.scope == "Cluster" and p.namespace:
        complaints.append(causes.forbidden(f"{field}.namespace", "`parameters.scope` is set to 'Cluster'"))
    return complaints
