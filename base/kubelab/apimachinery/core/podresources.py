"""Compute what a pod requests of a node: amounts of resources, and host ports.

https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

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


def total_resources(spec: core_pb2.PodSpec) -> tuple[dict[str, str], dict[str, str]]:
    """Requests and limits of a whole pod, as texts by resource: the containers' sums, or an init container's where that
    alone needs more; init containers that restart go on beside the others (upstream: PodRequests and PodLimits)."""
    return _total(spec, "requests"), _total(spec, "limits")


def _total(spec: core_pb2.PodSpec, side: str) -> dict[str, str]:
    def of(container: core_pb2.Container) -> dict[str, str]:
        return {name: one.string for name, one in getattr(container.resources, side).items()}

    total: dict[str, str] = {}
    for container in spec.containers:
        _add(total, of(container))
    beside: dict[str, str] = {}  # of init containers that restart, so far
    most: dict[str, str] = {}
    for container in spec.initContainers:
        alone = of(container)
        if container.restartPolicy == "Always":
            _add(total, alone)
            _add(beside, alone)
            alone = dict(beside)
        else:
            _add(alone, beside)
        _raise(most, alone)
    _raise(total, most)
    if side == "requests" or total:
        overhead = {name: one.string for name, one in spec.overhead.items()}
        _add(total, overhead if side == "requests" else {n: v for n, v in overhead.items() if n in total})
    return total


def _add(to: dict[str, str], more: Mapping[str, str]) -> None:
    for name, text in more.items():
        to[name] = quantity.total(to.get(name, "0"), text)


def _raise(to: dict[str, str], least: Mapping[str, str]) -> None:
    for name, text in least.items():
        if name not in to or quantity.amount(text) > quantity.amount(to[name]):
            to[name] = text


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
