"""Endpoints: addresses that can be reached from every node, and their ports."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import addresses, causes
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.strategies.containers import PROTOCOLS


class EndpointsStrategy(Strategy[core_pb2.Endpoints]):
    def default(self, obj: core_pb2.Endpoints) -> None:
        for subset in obj.subsets:
            for port in subset.ports:
                port.protocol = port.protocol or "TCP"

    def validate_content(self, obj: core_pb2.Endpoints) -> list[Cause]:
        complaints: list[Cause] = []
        for i, subset in enumerate(obj.subsets):
            field = f"subsets[{i}]"
            if not subset.addresses and not subset.notReadyAddresses:
                complaints.append(causes.required(field, "must specify `addresses` or `notReadyAddresses`"))
            for j, address in enumerate(subset.addresses):
                complaints += _address(address, f"{field}.addresses[{j}]")
            for j, address in enumerate(subset.notReadyAddresses):
                complaints += _address(address, f"{field}.notReadyAddresses[{j}]")
            for j, port in enumerate(subset.ports):
                complaints += _port(port, f"{field}.ports[{j}]", named=len(subset.ports) > 1)
        return complaints


def _address(address: core_pb2.EndpointAddress, field: str) -> list[Cause]:
    complaints = addresses.valid(f"{field}.ip", address.ip)
    if address.hostname:
        complaints += causes.each(f"{field}.hostname", address.hostname, names.dns_label(address.hostname))
    if address.HasField("nodeName"):
        complaints += causes.each(f"{field}.nodeName", address.nodeName, names.dns_subdomain(address.nodeName))
    return [*complaints, *addresses.reachable(f"{field}.ip", address.ip)]


def _port(port: core_pb2.EndpointPort, field: str, *, named: bool) -> list[Cause]:
    complaints: list[Cause] = []
    if port.name:
        complaints += causes.each(f"{field}.name", port.name, names.dns_label(port.name))
    elif named:
        complaints.append(causes.required(f"{field}.name"))
    complaints += causes.each(f"{field}.port", port.port, names.port_number(port.port))
    complaints += causes.one_of(f"{field}.protocol", port.protocol, PROTOCOLS)
    if port.HasField("appProtocol"):
        complaints += causes.each(f"{field}.appProtocol", port.appProtocol, names.qualified_name(port.appProtocol))
    return complaints
