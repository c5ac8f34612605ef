"""Which endpoints a service has: pure functions of the service, its pods and their nodes' zones.

https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterable

from kubelab.api.core.v1 import core_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.apimachinery.core.pods import is_ready, is_terminal
from kubelab.apimachinery.meta import is_terminating
from kubelab.controllermanager.endpoints.decide import ports_of
from kubelab.controllermanager.endpointslice.packing import HEADLESS, MANAGED_BY, SERVICE_NAME, Desired, Group

MANAGER = "endpointslice-controller.k8s.io"
PLACEHOLDER = Group("IPv4", ())


def desired(service: core_pb2.Service, pods: Iterable[core_pb2.Pod], zone_of: Callable[[str], str]) -> Desired:
    """Give a service's endpoints, by group and by pod. ``zone_of`` gives a node's zone, or nothing."""
    groups: defaultdict[Group, dict[str, discovery_pb2.Endpoint]] = defaultdict(dict)
    for pod in sorted(pods, key=lambda pod: pod.metadata.uid):
        kind = address_type(pod.status.podIP)
        if not kind or is_terminal(pod):
            continue
        ports = ports_of(pod, service)
        if ports or not service.spec.ports:
            groups[Group(kind, ports)][pod.metadata.uid] = endpoint(pod, service, zone_of)
    return groups


def endpoint(pod: core_pb2.Pod, service: core_pb2.Service, zone_of: Callable[[str], str]) -> discovery_pb2.Endpoint:
    """Make the endpoint of one pod."""
    m, spec = pod.metadata, pod.spec
    serving, terminating = is_ready(pod), is_terminating(pod)
    made = discovery_pb2.Endpoint(
        addresses=[pod.status.podIP],
        targetRef=core_pb2.ObjectReference(kind="Pod", namespace=m.namespace, name=m.name, uid=m.uid),
    )
    made.conditions.ready = service.spec.publishNotReadyAddresses or (serving and not terminating)
    made.conditions.serving, made.conditions.terminating = serving, terminating
    if spec.nodeName:
        made.nodeName = spec.nodeName
        if zone := zone_of(spec.nodeName):
            made.zone = zone
    if spec.hostname and spec.subdomain == service.metadata.name:
        made.hostname = spec.hostname
    return made


def labels(service: core_pb2.Service) -> dict[str, str]:
    """The labels of a service's slices: its own, and whose they are."""
    made = {key: value for key, value in service.metadata.labels.items() if key != HEADLESS}
    if service.spec.clusterIP == "None":
        made[HEADLESS] = ""
    return made | {SERVICE_NAME: service.metadata.name, MANAGED_BY: MANAGER}


def address_type(ip: str) -> str:
    """``IPv4`` or ``IPv6``; nothing for what is no address."""
    try:
        return f"IPv{ipaddress.ip_address(ip).version}"
    except ValueError:
        return ""
