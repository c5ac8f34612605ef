"""Services, with the addresses behind them, and Endpoints."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import intstr
from kubelab.kctl.describe import events
from kubelab.kctl.describe.writer import NONE, Writer, comma_labels

SHOWN_ENDPOINTS = 3


def describe(
    service: core_pb2.Service,
    endpoints: core_pb2.Endpoints | None,
    object_events: Sequence[core_pb2.Event] | None,
    now: float,
) -> str:
    """Describe a service; ``endpoints`` is None when there is no such object."""
    w = Writer()
    spec = service.spec
    w.field("Name", service.metadata.name)
    w.field("Namespace", service.metadata.namespace)
    w.labels("Labels", service.metadata.labels)
    w.annotations("Annotations", service.metadata.annotations)
    w.field("Selector", comma_labels(spec.selector))
    w.field("Type", spec.type)
    if spec.HasField("ipFamilyPolicy"):
        w.field("IP Family Policy", spec.ipFamilyPolicy)
    w.field("IP Families", ",".join(spec.ipFamilies) or NONE)
    w.field("IP", spec.clusterIP)
    w.field("IPs", ",".join(spec.clusterIPs) or NONE)
    if spec.externalIPs:
        w.field("External IPs", ",".join(spec.externalIPs))
    if spec.loadBalancerIP:
        w.field("Desired LoadBalancer IP", spec.loadBalancerIP)
    if spec.externalName:
        w.field("External Name", spec.externalName)
    if service.status.loadBalancer.ingress:
        w.field("LoadBalancer Ingress", ", ".join(_ingress(i) for i in service.status.loadBalancer.ingress))
    for port in spec.ports:
        _port(w, port, endpoints)
    w.field("Session Affinity", spec.sessionAffinity)
    if spec.externalTrafficPolicy:
        w.field("External Traffic Policy", spec.externalTrafficPolicy)
    if spec.HasField("internalTrafficPolicy"):
        w.field("Internal Traffic Policy", spec.internalTrafficPolicy)
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def _ingress(ingress: core_pb2.LoadBalancerIngress) -> str:
    where = ingress.ip or ingress.hostname
    return f"{where} ({ingress.ipMode})" if ingress.ipMode else where


def _port(w: Writer, port: core_pb2.ServicePort, endpoints: core_pb2.Endpoints | None) -> None:
    name = port.name or "<unset>"
    w.field("Port", f"{name}\t{port.port}/{port.protocol}")
    w.field("TargetPort", f"{intstr.text(port.targetPort)}/{port.protocol}")
    if port.nodePort:
        w.field("NodePort", f"{name}\t{port.nodePort}/{port.protocol}")
    w.field("Endpoints", endpoints_of(endpoints, port.name))


def endpoints_of(endpoints: core_pb2.Endpoints | None, port_name: str) -> str:
    """Give the ready addresses behind one port, the first three of them."""
    addresses = [
        f"{address.ip}:{port.port}"
        for subset in (endpoints.subsets if endpoints else ())
        for port in subset.ports
        if port.name == port_name
        for address in subset.addresses
    ]
    text = ",".join(addresses[:SHOWN_ENDPOINTS]) or NONE
    more = len(addresses) - SHOWN_ENDPOINTS
    return f"{text} + {more} more..." if more > 0 else text


def describe_endpoints(
    endpoints: core_pb2.Endpoints, object_events: Sequence[core_pb2.Event] | None, now: float
) -> str:
    """Describe the addresses themselves."""
    w = Writer()
    w.field("Name", endpoints.metadata.name)
    w.field("Namespace", endpoints.metadata.namespace)
    w.labels("Labels", endpoints.metadata.labels)
    w.annotations("Annotations", endpoints.metadata.annotations)
    w.line("Subsets:")
    for subset in endpoints.subsets:
        w.field("Addresses", ",".join(a.ip for a in subset.addresses) or NONE, 1)
        w.field("NotReadyAddresses", ",".join(a.ip for a in subset.notReadyAddresses) or NONE, 1)
        if subset.ports:
            w.line("Ports:", 1)
            w.line("Name\tPort\tProtocol", 2)
            w.line("----\t----\t--------", 2)
            for port in subset.ports:
                w.line(f"{port.name or '<unset>'}\t{port.port}\t{port.protocol}", 2)
        w.line("")
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()
