"""Endpoint slices: addresses of one family, ports with names of their own (upstream's ValidateEndpointSlice)."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import addresses, causes
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.strategies.metadata import next_generation

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
PROTOCOLS = ("SCTP", "TCP", "UDP")
MAX_ENDPOINTS, MAX_PORTS, MAX_ADDRESSES = 1000, 20_000, 100


class EndpointSliceStrategy(Strategy[discovery_pb2.EndpointSlice]):
    def default(self, obj: discovery_pb2.EndpointSlice) -> None:
        for port in obj.ports:
            if not port.HasField("name"):
                port.name = ""
            if not port.HasField("protocol"):
                port.protocol = "TCP"

    def prepare_for_create(self, obj: discovery_pb2.EndpointSlice) -> None:
        super().prepare_for_create(obj)
        obj.metadata.generation = 1

    def prepare_for_update(self, obj: discovery_pb2.EndpointSlice, old: discovery_pb2.EndpointSlice) -> None:
        super().prepare_for_update(obj, old)
        same = list(obj.endpoints) == list(old.endpoints) and list(obj.ports) == list(old.ports)
        obj.metadata.generation = next_generation(old.metadata.generation, not same)

    def validate_content(self, obj: discovery_pb2.EndpointSlice) -> list[Cause]:
        complaints = causes.one_of("addressType", obj.addressType, ADDRESS_TYPES)
        if len(obj.endpoints) > MAX_ENDPOINTS:
            complaints.append(_too_many("endpoints", len(obj.endpoints), MAX_ENDPOINTS))
            return complaints
        for number, endpoint in enumerate(obj.endpoints):
            complaints += _endpoint(endpoint, obj.addressType, f"endpoints[{number}]")
        return complaints + _ports(obj.ports)

    def validate_change(self, obj: discovery_pb2.EndpointSlice, old: discovery_pb2.EndpointSlice) -> list[Cause]:
        return [] if obj.addressType == old.addressType else [causes.immutable("addressType", obj.addressType)]


def _endpoint(endpoint: discovery_pb2.Endpoint, kind: str, here: str) -> list[Cause]:
    complaints: list[Cause] = []
    if not endpoint.addresses:
        complaints.append(causes.required(f"{here}.addresses", "must contain at least 1 address"))
    elif len(endpoint.addresses) > MAX_ADDRESSES:
        complaints.append(_too_many(f"{here}.addresses", len(endpoint.addresses), MAX_ADDRESSES))
    for place, address in enumerate(endpoint.addresses):
        complaints += _address(address, kind, f"{here}.addresses[{place}]")
    if endpoint.HasField("nodeName"):
        complaints += causes.each(f"{here}.nodeName", endpoint.nodeName, names.dns_subdomain(endpoint.nodeName))
    if endpoint.HasField("hostname"):
        complaints += causes.each(f"{here}.hostname", endpoint.hostname, names.dns_label(endpoint.hostname))
    for place, zone in enumerate(endpoint.hints.forZones):
        complaints += causes.each(f"{here}.hints.forZones[{place}].name", zone.name, names.label_value(zone.name))
    return complaints


def _address(text: str, kind: str, field: str) -> list[Cause]:
    if kind == "FQDN":
        return causes.each(field, text, names.dns_subdomain(text))
    if kind not in ADDRESS_TYPES:
        return []  # it is complained of already
    read = addresses.read(text)
    if read is None or addresses.family(read) != kind:
        return [causes.invalid(field, text, f"must be a valid {kind} address")]
    return addresses.reachable(field, text)


def _ports(ports: Sequence[discovery_pb2.EndpointPort]) -> list[Cause]:
    if len(ports) > MAX_PORTS:
        return [_too_many("ports", len(ports), MAX_PORTS)]
    complaints: list[Cause] = []
    seen: set[str] = set()
    for number, port in enumerate(ports):
        here = f"ports[{number}]"
        if port.name:
            complaints += causes.each(f"{here}.name", port.name, names.dns_label(port.name))
        if port.name in seen:
            complaints.append(causes.duplicate(f"{here}.name", port.name))
        seen.add(port.name)
        if not port.protocol:
            complaints.append(causes.required(f"{here}.protocol"))
        elif port.protocol not in PROTOCOLS:
            complaints.append(causes.unsupported(f"{here}.protocol", port.protocol, PROTOCOLS))
        if port.HasField("appProtocol"):
            complaints += causes.each(f"{here}.appProtocol", port.appProtocol, names.qualified_name(port.appProtocol))
    return complaints


def _too_many(field: str, count: int, most: int) -> Cause:
    return Cause(field, f"Too many: {count}: must have at most {most} items", "FieldValueTooMany")
