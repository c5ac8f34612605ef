"""Services: defaults and rules. Addresses and node ports are the allocator's
(upstream: ValidateService, ``pkg/registry/core/service/strategy.go``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import intstr, names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.resources.core.services import clusterip
from kubelab.apiserver.strategies import addresses, causes, metadata
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.strategies.containers import PROTOCOLS
from kubelab.topology.components import PORTS

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITIES = ("ClientIP", "None")
POLICIES = ("Cluster", "Local")
IP_MODES = ("Proxy", "VIP")
WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
KUBELET_PORT = PORTS["kubelet"][0]
DEFAULT_AFFINITY_SECONDS, MAX_AFFINITY_SECONDS = 10_800, 86_400  # three hours, a day
_LB_ONLY = "may only be used when `type` is 'LoadBalancer'"


_TOPOLOGY_HINTS, _TOPOLOGY_MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


class ServiceStrategy(Strategy[core_pb2.Service]):
    warns_of_updates: ClassVar[bool] = True
    check_name = staticmethod(names.dns1035_label)

    def default(self, obj: core_pb2.Service) -> None:
        spec = obj.spec
        spec.sessionAffinity = spec.sessionAffinity or "None"
        if spec.sessionAffinity == "None":
            spec.ClearField("sessionAffinityConfig")
        elif not spec.sessionAffinityConfig.clientIP.HasField("timeoutSeconds"):
            spec.sessionAffinityConfig.clientIP.timeoutSeconds = DEFAULT_AFFINITY_SECONDS
        spec.type = spec.type or "ClusterIP"
        for port in spec.ports:
            port.protocol = port.protocol or "TCP"
            if not intstr.is_set(port.targetPort):
                port.targetPort.CopyFrom(intstr.from_int(port.port))
        if reachable_from_outside(spec) and not spec.externalTrafficPolicy:
            spec.externalTrafficPolicy = "Cluster"
        if spec.type in ("ClusterIP", *WITH_NODE_PORTS) and not spec.HasField("internalTrafficPolicy"):
            spec.internalTrafficPolicy = "Cluster"
        if spec.type == "LoadBalancer" and not spec.HasField("allocateLoadBalancerNodePorts"):
            spec.allocateLoadBalancerNodePorts = True

    def prepare_for_create(self, obj: core_pb2.Service) -> None:
        super().prepare_for_create(obj)
        clusterip.normalize(obj.spec, None)

    def prepare_for_update(self, obj: core_pb2.Service, old: core_pb2.Service) -> None:
        super().prepare_for_update(obj, old)
        clusterip.normalize(obj.spec, old.spec)
        _drop_what_the_type_has_not(obj.spec, old.spec)

    def prepare_for_status_update(self, obj: core_pb2.Service, old: core_pb2.Service) -> None:
        super().prepare_for_status_update(obj, old)
        for ingress in obj.status.loadBalancer.ingress:
            if ingress.ip and not ingress.ipMode:
                ingress.ipMode = "VIP"

    def warnings(self, obj: core_pb2.Service) -> list[str]:
        """Upstream's ``pkg/api/service/warnings.go``."""
        spec, warnings = obj.spec, list[str]()
        if _TOPOLOGY_HINTS in obj.metadata.annotations:
            warnings.append(f"annotation {_TOPOLOGY_HINTS} is deprecated, please use {_TOPOLOGY_MODE} instead")
        if spec.type in ("", "ClusterIP") and clusterip.NONE in (spec.clusterIP, *spec.clusterIPs[:1]):
            ignored = (
                ("loadBalancerIP", spec.loadBalancerIP),
                ("externalIPs", spec.externalIPs),
                ("SessionAffinity", spec.sessionAffinity not in ("", "None")),  # upstream's capital
            )
            warnings += [f"spec.{field} is ignored for headless services" for field, given in ignored if given]
        if spec.type == "ExternalName" and spec.externalIPs:
            warnings.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
        if spec.type != "ExternalName" and spec.externalName:
            warnings.append('spec.externalName is ignored when spec.type is not "ExternalName"')
        return warnings + super().warnings(obj)

    def validate_content(self, obj: core_pb2.Service) -> list[Cause]:
        spec = obj.spec
        headless = clusterip.is_headless(spec)
        complaints: list[Cause] = []
        if not spec.ports and not headless and spec.type != "ExternalName":
            complaints.append(causes.required("spec.ports"))
        if spec.type == "LoadBalancer":
            complaints += _kubelet_ports(spec.ports)
        if headless and spec.type in WITH_NODE_PORTS:
            message = f"may not be set to 'None' for {spec.type} services"
            complaints.append(causes.invalid("spec.clusterIPs[0]", spec.clusterIPs[0], message))
        if spec.type == "ExternalName":
            complaints += _external_name(spec)
        complaints += _ports(spec.ports)
        complaints += metadata.labels("spec.selector", spec.selector)
        complaints += causes.one_of("spec.sessionAffinity", spec.sessionAffinity, AFFINITIES)
        if spec.sessionAffinity == "ClientIP":
            seconds = spec.sessionAffinityConfig.clientIP.timeoutSeconds
            if not 0 < seconds <= MAX_AFFINITY_SECONDS:
                message = f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"
                complaints.append(
                    causes.invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, message)
                )
        if spec.type != "ExternalName":
            complaints += clusterip.validate(spec)
        for i, address in enumerate(spec.externalIPs):
            field = f"spec.externalIPs[{i}]"
            complaints += addresses.valid(field, address) or addresses.reachable(field, address)
        complaints += causes.one_of("spec.type", spec.type, TYPES)
        complaints += _taken_twice(spec)
        complaints += _load_balancer(spec)
        complaints += _traffic_policies(spec)
        return complaints + clusterip.validate_for_cluster(spec)

    def validate_change(self, obj: core_pb2.Service, old: core_pb2.Service) -> list[Cause]:
        return clusterip.validate_update(obj.spec, old.spec)

    def validate_status_update(self, obj: core_pb2.Service, old: core_pb2.Service) -> list[Cause]:
        complaints = super().validate_status_update(obj, old)
        field, points = "status.loadBalancer.ingress", obj.status.loadBalancer.ingress
        if points and obj.spec.type != "LoadBalancer":
            return [*complaints, causes.forbidden(field, "may only be used when `spec.type` is 'LoadBalancer'")]
        for i, point in enumerate(points):
            complaints += _ingress(point, f"{field}[{i}]")
        return complaints

    def selectable_fields(self, obj: core_pb2.Service) -> Mapping[str, str]:
        return {**super().selectable_fields(obj), "spec.clusterIP": obj.spec.clusterIP, "spec.type": obj.spec.type}


def reachable_from_outside(spec: core_pb2.ServiceSpec) -> bool:
    """Whether traffic comes in at nodes: only then there is an externalTrafficPolicy."""
    return spec.type in WITH_NODE_PORTS or (spec.type == "ClusterIP" and bool(spec.externalIPs))


def _drop_what_the_type_has_not(new: core_pb2.ServiceSpec, old: core_pb2.ServiceSpec) -> None:
    """A change of type takes along what only the former type had, unless the client changed that, too: then it means
    it, and validation says why it cannot be."""
    if new.type == "ExternalName" and old.type != "ExternalName":
        if new.clusterIP == old.clusterIP and list(new.clusterIPs) == list(old.clusterIPs):
            new.ClearField("clusterIP")
            new.ClearField("clusterIPs")
        if list(new.ipFamilies) == list(old.ipFamilies):
            new.ClearField("ipFamilies")
        if new.ipFamilyPolicy == old.ipFamilyPolicy:
            new.ClearField("ipFamilyPolicy")
    same_ports = [port.nodePort for port in new.ports] == [port.nodePort for port in old.ports]
    if same_ports and old.type in WITH_NODE_PORTS and new.type not in WITH_NODE_PORTS:
        for port in new.ports:
            port.nodePort = 0
    same_choice = new.allocateLoadBalancerNodePorts == old.allocateLoadBalancerNodePorts
    if same_choice and old.type == "LoadBalancer" and new.type != "LoadBalancer":
        new.ClearField("allocateLoadBalancerNodePorts")
    same_policy = new.externalTrafficPolicy == old.externalTrafficPolicy
    if same_policy and reachable_from_outside(old) and not reachable_from_outside(new):
        new.externalTrafficPolicy = ""


def _kubelet_ports(ports: Sequence[core_pb2.ServicePort]) -> list[Cause]:
    message = f"may not expose port {KUBELET_PORT} externally since it is used by kubelet"
    return [causes.invalid(f"spec.ports[{i}]", p.port, message) for i, p in enumerate(ports) if p.port == KUBELET_PORT]


def _external_name(spec: core_pb2.ServiceSpec) -> list[Cause]:
    complaints: list[Cause] = []
    message = "may not be set for ExternalName services"
    for name, is_set in (
        ("clusterIPs", bool(spec.clusterIPs)),
        ("ipFamilies", bool(spec.ipFamilies)),
        ("ipFamilyPolicy", spec.HasField("ipFamilyPolicy")),
    ):
        if is_set:
            complaints.append(causes.forbidden(f"spec.{name}", message))
    name = spec.externalName.removesuffix(".")
    if not name:
        return [*complaints, causes.required("spec.externalName")]
    return [*complaints, *causes.each("spec.externalName", name, names.dns_subdomain(name))]


def _ports(ports: Sequence[core_pb2.ServicePort]) -> list[Cause]:
    complaints: list[Cause] = []
    seen: set[str] = set()
    for i, port in enumerate(ports):
        field = f"spec.ports[{i}]"
        if port.name:
            complaints += causes.each(f"{field}.name", port.name, names.dns_label(port.name))
            if port.name in seen:
                complaints.append(causes.duplicate(f"{field}.name", port.name))
            seen.add(port.name)
        elif len(ports) > 1:
            complaints.append(causes.required(f"{field}.name"))
        complaints += causes.each(f"{field}.port", port.port, names.port_number(port.port))
        complaints += causes.one_of(f"{field}.protocol", port.protocol, PROTOCOLS)
        target = port.targetPort
        if target.type == intstr.STRING:
            complaints += causes.each(f"{field}.targetPort", target.strVal, names.port_name(target.strVal))
        else:
            complaints += causes.each(f"{field}.targetPort", target.intVal, names.port_number(target.intVal))
        if port.HasField("appProtocol"):
            complaints += causes.each(f"{field}.appProtocol", port.appProtocol, names.qualified_name(port.appProtocol))
    return complaints


def _taken_twice(spec: core_pb2.ServiceSpec) -> list[Cause]:
    complaints: list[Cause] = []
    if spec.type == "ClusterIP":
        message = "may not be used when `type` is 'ClusterIP'"
        complaints += [
            causes.forbidden(f"spec.ports[{i}].nodePort", message) for i, port in enumerate(spec.ports) if port.nodePort
        ]
    node_ports: set[tuple[str, int]] = set()
    for i, port in enumerate(spec.ports):
        if port.nodePort and (port.protocol, port.nodePort) in node_ports:
            complaints.append(causes.duplicate(f"spec.ports[{i}].nodePort", port.nodePort))
        node_ports.add((port.protocol, port.nodePort))
    ports: set[tuple[str, int]] = set()
    for i, port in enumerate(spec.ports):
        if (port.protocol, port.port) in ports:
            complaints.append(causes.duplicate(f"spec.ports[{i}]", _as_go(port)))
        ports.add((port.protocol, port.port))
    return complaints


def _as_go(port: core_pb2.ServicePort) -> causes.Raw:
    """What makes two ports the same, as upstream prints it."""
    return causes.Raw(
        f'core.ServicePort{{Name:"", Protocol:{causes.quoted(port.protocol)}, AppProtocol:(*string)(nil), '
        f'Port:{port.port}, TargetPort:intstr.IntOrString{{Type:0, IntVal:0, StrVal:""}}, NodePort:0}}'
    )


def _load_balancer(spec: core_pb2.ServiceSpec) -> list[Cause]:
    is_set = spec.HasField("allocateLoadBalancerNodePorts")
    if is_set and spec.type != "LoadBalancer":
        return [causes.forbidden("spec.allocateLoadBalancerNodePorts", _LB_ONLY)]
    if not is_set and spec.type == "LoadBalancer":
        return [causes.required("allocateLoadBalancerNodePorts")]
    return []


def _traffic_policies(spec: core_pb2.ServiceSpec) -> list[Cause]:
    complaints: list[Cause] = []
    external = spec.externalTrafficPolicy
    if reachable_from_outside(spec):
        complaints += causes.one_of("spec.externalTrafficPolicy", external, POLICIES)
    elif external:
        message = "may only be set for externally-accessible services"
        complaints.append(causes.invalid("spec.externalTrafficPolicy", external, message))
    if spec.HasField("internalTrafficPolicy"):
        if spec.internalTrafficPolicy not in POLICIES:
            complaints.append(causes.unsupported("spec.internalTrafficPolicy", spec.internalTrafficPolicy, POLICIES))
    elif spec.type in ("ClusterIP", *WITH_NODE_PORTS):
        complaints.append(causes.required("spec.internalTrafficPolicy"))
    return complaints


def _ingress(point: core_pb2.LoadBalancerIngress, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    if point.ip:
        complaints += addresses.valid(f"{field}.ip", point.ip)
        if not point.ipMode:
            complaints.append(causes.required(f"{field}.ipMode", "must be specified when `ip` is set"))
        elif point.ipMode not in IP_MODES:
            complaints.append(causes.unsupported(f"{field}.ipMode", point.ipMode, IP_MODES))
    elif point.ipMode:
        complaints.append(causes.forbidden(f"{field}.ipMode", "may not be specified when `ip` is not set"))
    if point.hostname:
        complaints += causes.each(f"{field}.hostname", point.hostname, names.dns_subdomain(point.hostname))
        if addresses.read(point.hostname) is not None:
            message = "must be a DNS name, not an IP address"
            complaints.append(causes.invalid(f"{field}.hostname", point.hostname, message))
    return complaints
