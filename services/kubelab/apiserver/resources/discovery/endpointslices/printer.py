"""The cells of a row of endpoint slices, as kubectl 1.32 prints them."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.apiserver.printers.cells import age

SHOWN = 3


def row(slice_: discovery_pb2.EndpointSlice, now: float) -> list[str]:
    m = slice_.metadata
    ports = [str(port.port) if port.HasField("port") else port.name or "*" for port in slice_.ports]
    addresses = [address for endpoint in slice_.endpoints for address in endpoint.addresses]
    return [m.name, slice_.addressType, _first(ports), _first(addresses), age(m.creationTimestamp, now)]


def _first(values: Sequence[str]) -> str:
    text, more = ",".join(values[:SHOWN]) or "<unset>", len(values) - SHOWN
    return f"{text} + {more} more..." if more > 0 else text
