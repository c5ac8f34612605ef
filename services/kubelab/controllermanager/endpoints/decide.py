"""Which addresses stand behind a service: pure functions of the service and its pods.

https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoints-v1/
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import is_ready, is_terminal
from kubelab.apimachinery.meta import is_terminating

HEADLESS_LABEL = "service.kubernetes.io/headless"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MAX_ADDRESSES = 1000

Port = tuple[str, int, str, str]
"""Name, number, protocol, application protocol."""


def target_port(pod: core_pb2.Pod, port: core_pb2.ServicePort) -> int | None:
    """Find the number of a service port's target in a pod; None when no container has a port of that name."""
    if port.targetPort.type == 0:
        return port.targetPort.intVal or port.port
    for container in pod.spec.containers:
        for candidate in container.ports:
            same_protocol = (candidate.protocol or "TCP") == (port.protocol or "TCP")
            if candidate.name == port.targetPort.strVal and same_protocol:
                return candidate.containerPort
    return None


def belongs(pod: core_pb2.Pod, service: core_pb2.Service) -> bool:
    """Say whether a selected pod has an address worth telling, ready or not; what is no address is worth nothing."""
    if _numeric(pod.status.podIP) is None or is_terminal(pod):
        return False
    return service.spec.publishNotReadyAddresses or not is_terminating(pod)


def subsets(service: core_pb2.Service, pods: Iterable[core_pb2.Pod]) -> list[core_pb2.EndpointSubset]:
    """Pack the addresses of pods with the same ports together: sorted, so that the same pods give the same bytes."""
    by_ports: defaultdict[tuple[Port, ...], list[tuple[bool, core_pb2.Pod]]] = defaultdict(list)
    for pod in pods:
        if not belongs(pod, service):
            continue
        ready = service.spec.publishNotReadyAddresses or is_ready(pod)
        ports = ports_of(pod, service)
        if ports or not service.spec.ports:  # a headless service may have none at all
            by_ports[ports].append((ready, pod))
    packed: list[core_pb2.EndpointSubset] = []
    for ports, members in sorted(by_ports.items()):
        subset = packed_subset(service, ports, members)
        packed.append(subset)
    return _truncated(packed)


def packed_subset(
    service: core_pb2.Service, ports: tuple[Port, ...], members: Iterable[tuple[bool, core_pb2.Pod]]
) -> core_pb2.EndpointSubset:
    """Make one subset out of pods, each with whether it is ready."""
    subset = core_pb2.EndpointSubset()
    for ready, pod in sorted(members, key=_by_address):
        (subset.addresses if ready else subset.notReadyAddresses).append(_address(pod, service))
    for name, number, protocol, application in ports:
        port = subset.ports.add(name=name, port=number, protocol=protocol)
        if application:
            port.appProtocol = application
    return subset


def _by_address(member: tuple[bool, core_pb2.Pod]) -> tuple[tuple[int, int], str]:
    pod = member[1]
    return _numeric(pod.status.podIP) or (0, 0), pod.metadata.uid


def ports_of(pod: core_pb2.Pod, service: core_pb2.Service) -> tuple[Port, ...]:
    """Give the ports of a service as one pod has them, those that it has."""
    ports: list[Port] = []
    for port in service.spec.ports:
        number = target_port(pod, port)
        if number is not None:
            ports.append((port.name, number, port.protocol or "TCP", port.appProtocol))
    return tuple(sorted(ports))


def _address(pod: core_pb2.Pod, service: core_pb2.Service) -> core_pb2.EndpointAddress:
    meta, spec = pod.metadata, pod.spec
    address = core_pb2.EndpointAddress(
        ip=pod.status.podIP,
        targetRef=core_pb2.ObjectReference(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid),
    )
    if spec.nodeName:
        address.nodeName = spec.nodeName
    if spec.hostname and spec.subdomain == service.metadata.name:
        address.hostname = spec.hostname
    return address


def _numeric(ip: str) -> tuple[int, int] | None:
    try:
        parsed = ipaddress.ip_address(ip)
    except ValueError:
        return None
    return parsed.version, int(parsed)


def _truncated(packed: list[core_pb2.EndpointSubset]) -> list[core_pb2.EndpointSubset]:
    """Keep the first thousand addresses, ready ones before others."""
    room = MAX_ADDRESSES
    for field in ("addresses", "notReadyAddresses"):
        for subset in packed:
            addresses = getattr(subset, field)
            del addresses[room:]
            room -= len(addresses)
    return [subset for subset in packed if subset.addresses or subset.notReadyAddresses]


def desired(
    service: core_pb2.Service, pods: Iterable[core_pb2.Pod], current: core_pb2.Endpoints | None
) -> core_pb2.Endpoints | None:
    """Make the Endpoints object that a service should have; None when the current one is right."""
    endpoints = core_pb2.Endpoints()
    if current is not None:
        endpoints.CopyFrom(current)
        del endpoints.subsets[:]
    meta = endpoints.metadata
    meta.namespace, meta.name = service.metadata.namespace, service.metadata.name
    meta.labels.clear()
    meta.labels.update(service.metadata.labels)
    meta.labels.pop(HEADLESS_LABEL, None)
    if service.spec.clusterIP == "None":
        meta.labels[HEADLESS_LABEL] = ""
    candidates = [*pods]
    endpoints.subsets.extend(subsets(service, candidates))
    addresses = sum(len(subset.addresses) + len(subset.notReadyAddresses) for subset in endpoints.subsets)
    meta.annotations.pop(OVER_CAPACITY, None)
    if addresses == MAX_ADDRESSES and sum(belongs(pod, service) for pod in candidates) > MAX_ADDRESSES:
        meta.annotations[OVER_CAPACITY] = "truncated"
    return None if endpoints == current else endpoints
