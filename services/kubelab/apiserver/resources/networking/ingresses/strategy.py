"""Ingresses: hosts, paths and backends (upstream's pkg/apis/networking/validation)."""

from __future__ import annotations

import ipaddress
from typing import ClassVar

from kubelab.api.networking.v1 import networking_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy

EXACT, PREFIX, ANY = "Exact", "Prefix", "ImplementationSpecific"
PATH_TYPES = (EXACT, ANY, PREFIX)
_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_ENDS = ("/..", "/.")
_ABSOLUTE = "must be an absolute path"


class IngressStrategy(Strategy[networking_pb2.Ingress]):
    has_generation: ClassVar[bool] = True
    warns_of_updates: ClassVar[bool] = True

    def validate_content(self, obj: networking_pb2.Ingress) -> list[Cause]:
        spec, complaints = obj.spec, list[Cause]()
        for number, tls in enumerate(spec.tls):
            for place, host in enumerate(tls.hosts):
                complaints += _host(f"spec.tls[{number}].hosts[{place}]", host, address=True)
        if not spec.rules and not spec.HasField("defaultBackend"):
            why = "either `defaultBackend` or `rules` must be specified"
            complaints.append(causes.invalid("spec", causes.Raw("[]networking.IngressRule(nil)"), why))
        if spec.HasField("defaultBackend"):
            complaints += _backend(spec.defaultBackend, "spec.defaultBackend")
        for number, rule in enumerate(spec.rules):
            here = f"spec.rules[{number}]"
            if rule.host:
                complaints += _host(f"{here}.host", rule.host, address=False)
            if rule.ingressRuleValue.HasField("http"):
                complaints += _paths(rule.ingressRuleValue.http, f"{here}.http.paths")
        if spec.HasField("ingressClassName"):
            problems = names.dns_subdomain(spec.ingressClassName)
            complaints += causes.each("spec.ingressClassName", spec.ingressClassName, problems)
        return complaints


def _host(field: str, host: str, *, address: bool) -> list[Cause]:
    if not address and _is_address(host):
        return [causes.invalid(field, host, "must be a DNS name, not an IP address")]
    if "*" in host:
        return causes.each(field, host, names.wildcard_dns_subdomain(host))
    return causes.each(field, host, names.dns_subdomain(host))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _paths(http: networking_pb2.HTTPIngressRuleValue, field: str) -> list[Cause]:
    if not http.paths:
        return [causes.required(field)]
    complaints: list[Cause] = []
    for number, path in enumerate(http.paths):
        here = f"{field}[{number}]"
        complaints += _path(path, here)
        complaints += _backend(path.backend, f"{here}.backend")
    return complaints


def _path(path: networking_pb2.HTTPIngressPath, here: str) -> list[Cause]:
    if not path.HasField("pathType"):
        return [causes.required(f"{here}.pathType", "pathType must be specified")]
    if path.pathType not in PATH_TYPES:
        return [causes.unsupported(f"{here}.pathType", path.pathType, PATH_TYPES)]
    absolute = path.path.startswith("/")
    if path.pathType == ANY:
        return [] if absolute or not path.path else [causes.invalid(f"{here}.path", path.path, _ABSOLUTE)]
    complaints = [] if absolute else [causes.invalid(f"{here}.path", path.path, _ABSOLUTE)]
    wrong = [f"must not contain '{sequence}'" for sequence in _SEQUENCES if sequence in path.path]
    wrong += [f"cannot end with '{end}'" for end in _ENDS if path.path.endswith(end)]
    return complaints + causes.each(f"{here}.path", path.path, wrong)


def _backend(backend: networking_pb2.IngressBackend, field: str) -> list[Cause]:
    has_service = backend.HasField("service")
    if backend.HasField("resource"):
        if has_service:
            return [causes.invalid(field, "", "cannot set both resource and service backends")]
        missing = [part for part in ("kind", "name") if not getattr(backend.resource, part)]
        return [causes.required(f"{field}.resource.{part}", f"{part} is required") for part in missing]
    if not has_service:
        return [causes.invalid(field, "", "resource or service backend is required")]
    service, port = backend.service, backend.service.port
    complaints: list[Cause] = []
    if not service.name:
        complaints.append(causes.required(f"{field}.service.name"))
    else:
        complaints += causes.each(f"{field}.service.name", service.name, names.dns1035_label(service.name))
    if port.name and port.number:
        complaints.append(causes.invalid(field, "", "cannot set both port name & port number"))
    elif port.name:
        complaints += causes.each(f"{field}.service.port.name", port.name, names.port_name(port.name))
    elif port.number:
        complaints += causes.each(f"{field}.service.port.number", port.number, names.port_number(port.number))
    else:
        complaints.append(causes.required(field, "port name or number is required"))
    return complaints
