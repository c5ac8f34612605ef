"""The service that ``kctl expose`` makes of an object: its selector, ports and protocols. Pure functions.

kubectl's ``polymorphichelpers`` and its generator of services.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import intstr
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.podspecs import pod_spec_of

if TYPE_CHECKING:
    from kubelab.apimachinery.scheme import Resource

EXPOSABLE = ("replicationcontrollers", "services", "pods", "deployments.apps", "replicasets.apps")
MAX_NAME = 63
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)


class NotExposable(Exception):
    """The object has nothing that a service could select; the message is kubectl's."""


@dataclass(frozen=True, slots=True)
class ServiceFlags:
    """What the command line says of the service; empty where the object decides."""

    name: str = ""
    selector: str = ""
    port: str = ""
    labels: str = ""
    protocol: str = ""
    target_port: str = ""
    type: str = ""
    external_ip: str = ""
    load_balancer_ip: str = ""
    session_affinity: str = ""
    cluster_ip: str = ""


def require_exposable(resource: Resource[Message]) -> None:
    """Raises UsageProblem for a kind that no service can stand for."""
    if resource.qualified not in EXPOSABLE:
        kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
        raise UsageProblem(f"cannot expose a {kind}")


def selector_of(obj: Message) -> Mapping[str, str]:
    """Give the labels of the pods that an object stands for. Raises NotExposable."""
    found = cast(Any, obj)
    match obj.DESCRIPTOR.name:
        case "Pod":
            if not found.metadata.labels:
                raise NotExposable("the pod has no labels and cannot be exposed")
            return found.metadata.labels
        case "Service":
            if not found.spec.selector:
                raise NotExposable("the service has no pod selector set")
            return found.spec.selector
        case "ReplicationController":
            return found.spec.selector
        case _:
            if expressions := found.spec.selector.matchExpressions:
                shown = " ".join(f"{{{e.key} {e.operator} [{' '.join(e.values)}]}}" for e in expressions)
                raise NotExposable(f'couldn\'t convert expressions - "[{shown}]" to map-based selector format')
            return found.spec.selector.matchLabels


def ports_of(obj: Message) -> dict[str, str]:
    """Give the ports of an object's containers, or of a service, with their protocols."""
    if obj.DESCRIPTOR.name == "Service":
        return {str(port.port): port.protocol or "TCP" for port in cast(Any, obj).spec.ports}
    containers = pod_spec_of(obj).containers
    return {str(port.containerPort): port.protocol or "TCP" for c in containers for port in c.ports}


def service(obj: Message, flags: ServiceFlags) -> core_pb2.Service:
    """Make the service for an object. Raises UsageProblem, and NotExposable for what the object cannot tell."""
    from kubelab.kctl.generators import parse_labels

    metadata = cast(Any, obj).metadata
    selector = parse_labels(flags.selector) if flags.selector else selector_of(obj)
    protocols = ports_of(obj)
    ports = flags.port.split(",") if flags.port else list(protocols)
    if not ports and flags.cluster_ip != "None":
        raise UsageProblem("couldn't find port via --port flag or introspection", "kctl expose", hint="arguments")
    if not selector:
        raise UsageProblem("'selector' is a required parameter")
    made = core_pb2.Service()
    made.metadata.name = flags.name or metadata.name[:MAX_NAME]
    made.metadata.labels.update(parse_labels(flags.labels) if flags.labels else metadata.labels)
    made.spec.selector.update(selector)
    for number, text in enumerate(ports, 1):
        port = made.spec.ports.add(port=_number(text))
        port.protocol = flags.protocol or protocols.get(text, "TCP")
        if len(ports) > 1:
            port.name = f"port-{number}"
        port.targetPort.CopyFrom(intstr.parse(flags.target_port) if flags.target_port else intstr.from_int(port.port))
    _settle(made.spec, flags)
    return made


def _settle(spec: core_pb2.ServiceSpec, flags: ServiceFlags) -> None:
    """Set what only the flags can say."""
    if flags.external_ip:
        spec.externalIPs.append(flags.external_ip)
    if flags.type:
        spec.type = flags.type
    if flags.type == "LoadBalancer" and flags.load_balancer_ip:
        spec.loadBalancerIP = flags.load_balancer_ip
    if flags.session_affinity:
        if flags.session_affinity not in ("None", "ClientIP"):
            raise UsageProblem(f"unknown session affinity: {flags.session_affinity}")
        spec.sessionAffinity = flags.session_affinity
    if flags.cluster_ip:
        spec.clusterIP = flags.cluster_ip


def _number(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise UsageProblem(f'strconv.Atoi: parsing "{text}": invalid syntax')
    if not -(2**31) <= int(text) < 2**31:
        raise UsageProblem(f'strconv.Atoi: parsing "{text}": value out of range')
    return int(text)
