"""Which endpoints an Endpoints object has: pure functions.

https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#endpointslice-mirroring
"""

from __future__ import annotations

from collections import defaultdict

from kubelab.api.core.v1 import core_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.controllermanager.endpointslice.decide import address_type
from kubelab.controllermanager.endpointslice.packing import (
    MANAGED_BY,
    SERVICE_NAME,
    SKIP_MIRROR,
    Desired,
    Group,
    key_of_endpoint,
)

MANAGER = "endpointslicemirroring-controller.k8s.io"
LEADER = "control-plane.alpha.kubernetes.io/leader"  # of Endpoints that are a lock
MAX_ADDRESSES = 1000  # of a subset


def is_mirrored(endpoints: core_pb2.Endpoints, service: core_pb2.Service | None) -> bool:
    """Say whether slices shall follow: there is a service, and no controller fills its endpoints in."""
    if service is None or service.spec.selector:
        return False
    return endpoints.metadata.labels.get(SKIP_MIRROR) != "true" and LEADER not in endpoints.metadata.annotations


def desired(endpoints: core_pb2.Endpoints) -> Desired:
    """Give the endpoints of all subsets."""
    groups: defaultdict[Group, dict[str, discovery_pb2.Endpoint]] = defaultdict(dict)
    for subset in endpoints.subsets:
        ports = tuple(sorted((p.name, p.port, p.protocol or "TCP", p.appProtocol) for p in subset.ports))
        addresses = [(address, True) for address in subset.addresses]
        addresses += [(address, False) for address in subset.notReadyAddresses]
        for address, ready in addresses[:MAX_ADDRESSES]:
            if kind := address_type(address.ip):
                made = _endpoint(address, ready=ready)
                groups[Group(kind, ports)][key_of_endpoint(made)] = made
    return groups


def _endpoint(address: core_pb2.EndpointAddress, *, ready: bool) -> discovery_pb2.Endpoint:
    made = discovery_pb2.Endpoint(addresses=[address.ip])
    made.conditions.ready = ready
    if address.HasField("targetRef"):
        made.targetRef.CopyFrom(address.targetRef)
    if address.nodeName:
        made.nodeName = address.nodeName
    if address.hostname:
        made.hostname = address.hostname
    return made


def labels(endpoints: core_pb2.Endpoints) -> dict[str, str]:
    """The labels of the slices: those of the Endpoints, and whose they are."""
    return dict(endpoints.metadata.labels) | {SERVICE_NAME: endpoints.metadata.name, MANAGED_BY: MANAGER}
