"""Compute what a pod requests of a node: amounts of resources, and host ports.

https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import quantity

HostPort = tuple[str, str, int]
"""Address, protocol, port."""

ANY_ADDRESS = "0.0.0.0"


def amount(resource: str, text: str) -> int:
    """Read an amount as schedulers count it: CPU in thousandths of a core, all else in whole units (bytes, pods)."""
    return quantity.milli_value(text) if resource == "cpu" else quantity.value(text)


def requests(pod: core_pb2.Pod) -> Counter[str]:
    """Sum what a pod's containers ask for, by resource, in the units of :func:`amount`."""
    sums: Counter[str] = Counter()
    for container in pod.spec.containers:
        for name, requested in container.resources.requests.items():
            sums[name] += amount(name, requested.string)
    return sums


def host_ports(pod: core_pb2.Pod) -> tuple[HostPort, ...]:
    """List the ports of the node that a pod asks for."""
    return tuple(
        (port.hostIP or ANY_ADDRESS, port.protocol or "TCP", port.hostPort)
        for container in pod.spec.containers
        for port in container.ports
        if port.hostPort
    )


def port_is_taken(new: HostPort, taken: Iterable[HostPort]) -> bool:
    """Say whether a port collides with one that is in use: the same number and protocol on a common address."""
    address, protocol, port = new
    return any(
        port == other_port and protocol == other_protocol and (address == other or ANY_ADDRESS in (address, other))
        for other, other_protocol, other_port in taken
    )
