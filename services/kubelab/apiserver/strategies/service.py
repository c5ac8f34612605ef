"""Services: defaults and rules. Addresses and node ports are the allocator's."""

from __future__ import annotations

import ipaddress

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import intstr, names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, metadata
from kubelab.apiserver.strategies.base import Strategy

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITIES = ("ClientIP", "None")
POLICIES = ("Cluster", "Local")
WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


class ServiceStrategy(Strategy[core_pb2.Service]):
    check_name = staticmethod(names.dns1035_label)

    def default(self, obj: core_pb2.Service) -> None:
        spec = obj.spec
        spec.type = spec.type or "ClusterIP"
        spec.sessionAffinity = spec.sessionAffinity or "None"
        for port in spec.ports:
            port.protocol = port.protocol or "TCP"
            if not intstr.is_set(port.targetPort):
                port.targetPort.CopyFrom(intstr.from_int(port.port))
        if spec.type != "ExternalName" and not spec.HasField("internalTrafficPolicy"):
            spec.internalTrafficPolicy = "Cluster"
        if spec.type in WITH_NODE_PORTS or spec.externalIPs:
            spec.externalTrafficPolicy = spec.externalTrafficPolicy or "Cluster"
        if spec.type == "LoadBalancer" and not spec.HasField("allocateLoadBalancerNodePorts"):
            spec.allocateLoadBalancerNodePorts = True

    def prepare_for_create(self, obj: core_pb2.Service) -> None:
        super().prepare_for_create(obj)
        obj.metadata.generation = 0  # services have none

    def prepare_for_update(self, obj: core_pb2.Service, old: core_pb2.Service) -> None:
        super().prepare_for_update(obj, old)
        obj.metadata.generation = 0
        if obj.spec.type not in WITH_NODE_PORTS and not obj.spec.externalIPs:
            obj.spec.externalTrafficPolicy = ""
        if obj.spec.type != "LoadBalancer":
            obj.spec.ClearField("allocateLoadBalancerNodePorts")

    def validate_content(self, obj: core_pb2.Service) -> list[Cause]:
        spec = obj.spec
        found: list[Cause] = []
        if spec.type not in TYPES:
            found.append(causes.unsupported("spec.type", spec.type, TYPES))
        if not spec.ports and spec.type != "ExternalName" and spec.clusterIP != "None":
            found.append(causes.required("spec.ports"))
        found += _ports(spec)
        found += metadata.labels("spec.selector", spec.selector)
        if spec.sessionAffinity not in AFFINITIES:
            found.append(causes.unsupported("spec.sessionAffinity", spec.sessionAffinity, AFFINITIES))
        elif spec.sessionAffinity == "ClientIP":
            # the node deals connections in turn; to accept what it does not do would mislead
            found.append(causes.forbidden("spec.sessionAffinity", "ClientIP is not supported by kubelab's kube-proxy"))
        if spec.type == "ExternalName":
            found += _external_name(spec)
        elif spec.HasField("internalTrafficPolicy") and spec.internalTrafficPolicy not in POLICIES:
            found.append(causes.unsupported("spec.internalTrafficPolicy", spec.internalTrafficPolicy, POLICIES))
        if spec.externalTrafficPolicy:
            found += _external_policy(spec)
        for i, address in enumerate(spec.externalIPs):
            if not _is_address(address):
                told = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
                found.append(causes.invalid(f"spec.externalIPs[{i}]", address, told))
        if spec.clusterIP not in ("", "None") and not _is_address(spec.clusterIP):
            told = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            found.append(causes.invalid("spec.clusterIPs[0]", spec.clusterIP, told))
        if spec.clusterIP == "None" and spec.type in WITH_NODE_PORTS:
            told = f"may not be set to 'None' for {spec.type} services"
            found.append(causes.invalid("spec.clusterIPs[0]", "None", told))
        return found

    def validate_update(self, obj: core_pb2.Service, old: core_pb2.Service) -> list[Cause]:
        found = super().validate_update(obj, old)
        had, has = old.spec.clusterIP, obj.spec.clusterIP
        stays = obj.spec.type != "ExternalName" and old.spec.type != "ExternalName"
        if stays and had and has and had != has:
            found.append(causes.invalid("spec.clusterIPs[0]", [has], "may not change once set"))
        return found


def _ports(spec: core_pb2.ServiceSpec) -> list[Cause]:
    found: list[Cause] = []
    seen_names: set[str] = set()
    seen: set[tuple[str, int]] = set()
    for i, port in enumerate(spec.ports):
        field = f"spec.ports[{i}]"
        if not port.name and len(spec.ports) > 1:
            found.append(causes.required(f"{field}.name"))
        elif port.name:
            found += causes.each(f"{field}.name", port.name, names.dns_label(port.name))
            if port.name in seen_names:
                found.append(causes.duplicate(f"{field}.name", port.name))
            seen_names.add(port.name)
        found += causes.each(f"{field}.port", port.port, names.port_number(port.port))
        if port.protocol not in ("SCTP", "TCP", "UDP"):
            found.append(causes.unsupported(f"{field}.protocol", port.protocol, ("SCTP", "TCP", "UDP")))
        if port.targetPort.type == intstr.STRING:
            problems = names.port_name(port.targetPort.strVal)
            found += causes.each(f"{field}.targetPort", port.targetPort.strVal, problems)
        else:
            number = port.targetPort.intVal
            found += causes.each(f"{field}.targetPort", number, names.port_number(number))
        if port.nodePort and spec.type not in WITH_NODE_PORTS:
            told = f"may not be used when `type` is '{spec.type}'"
            found.append(causes.forbidden(f"{field}.nodePort", told))
        key = (port.protocol, port.port)
        if key in seen:
            found.append(causes.duplicate(field, f"{port.protocol}/{port.port}"))
        seen.add(key)
    return found


def _external_name(spec: core_pb2.ServiceSpec) -> list[Cause]:
    found: list[Cause] = []
    if not spec.externalName:
        found.append(causes.required("spec.externalName"))
    else:
        name = spec.externalName.removesuffix(".")
        found += causes.each("spec.externalName", spec.externalName, names.dns_subdomain(name))
    if spec.clusterIP:
        found.append(causes.forbidden("spec.clusterIPs", "may not be set when `type` is 'ExternalName'"))
    return found


def _external_policy(spec: core_pb2.ServiceSpec) -> list[Cause]:
    if spec.type not in WITH_NODE_PORTS and not spec.externalIPs:
        told = "may only be set for externally-accessible services"
        return [causes.invalid("spec.externalTrafficPolicy", spec.externalTrafficPolicy, told)]
    if spec.externalTrafficPolicy not in POLICIES:
        return [causes.unsupported("spec.externalTrafficPolicy", spec.externalTrafficPolicy, POLICIES)]
    return []


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
