"""The ports of ``kctl port-forward``: ``8080``, ``8080:80``, ``:80``, or names of ports in the place of numbers.

A service's port stands for the port of the pod that it leads to. The words are kubectl's
(https://github.com/kubernetes/kubectl/blob/master/pkg/cmd/portforward/portforward.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2

HIGHEST = 65535


class ForwardedPort(NamedTuple):
    """``local`` 0 is any that is free."""

    local: int
    remote: int


def ports_of(words: Sequence[str], obj: Any, pod: core_pb2.Pod) -> list[ForwardedPort]:
    """Read the ports, given for ``obj``, as ports of a pod. Failed."""
    from kubelab.api.core.v1 import core_pb2

    ports: list[ForwardedPort] = []
    for word in words:
        local, remote = _split(word)
        if isinstance(obj, core_pb2.Service):
            local, remote = _of_service(local, remote, obj, pod)
        elif not _is_number(remote):
            number = _named_port(pod, remote)
            local, remote = (str(number) if local == remote else local), str(number)
        ports.append(ForwardedPort(_number("local", local), _number("remote", remote)))
        if not ports[-1].remote:
            raise Failed("error: remote port must be > 0")
    _refuse_udp(ports, obj, pod)
    return ports


def _split(word: str) -> tuple[str, str]:
    parts = word.split(":")
    if len(parts) > 2:
        raise Failed(f"error: invalid port format '{word}'")
    return (parts[0], parts[0]) if len(parts) == 1 else (parts[0] or "0", parts[1])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(what: str, text: str) -> int:
    if not _is_number(text):
        raise Failed(
            f"error: error parsing {what} port '{text}': strconv.ParseUint: parsing \"{text}\": invalid syntax"
        )
    if int(text) > HIGHEST:
        raise Failed(
            f"error: error parsing {what} port '{text}': strconv.ParseUint: parsing \"{text}\": value out of range"
        )
    return int(text)


def _of_service(local: str, remote: str, service: core_pb2.Service, pod: core_pb2.Pod) -> tuple[str, str]:
    """Give the pod's port behind a port of a service."""
    name = service.metadata.name
    if not _is_number(remote):
        port = next((p for p in service.spec.ports if p.name == remote), None)
        if port is None:
            raise Failed(f"error: Service '{name}' does not have a named port '{remote}'")
        local = str(port.port) if local == remote else local
    else:
        port = next((p for p in service.spec.ports if p.port == int(remote)), None)
        if port is None:
            raise Failed(f"error: Service {name} does not have a service port {remote}")
    if service.spec.clusterIP == "None":
        return local, str(port.port)
    if port.targetPort.type == 1:  # a name
        return local, str(_named_port(pod, port.targetPort.strVal))
    return local, str(port.targetPort.intVal or port.port)


def _named_port(pod: core_pb2.Pod, name: str) -> int:
    for container in pod.spec.containers:
        for port in container.ports:
            if port.name == name:
                return port.containerPort
    raise Failed(f"error: Pod '{pod.metadata.name}' does not have a named port '{name}'")


def _refuse_udp(ports: Sequence[ForwardedPort], obj: Any, pod: core_pb2.Pod) -> None:
    """Refuse a port that is declared for UDP and not for TCP."""
    from kubelab.api.core.v1 import core_pb2

    if isinstance(obj, core_pb2.Service):
        declared = [(p.protocol, p.targetPort.intVal or p.port) for p in obj.spec.ports if p.targetPort.type == 0]
    else:
        declared = [(p.protocol, p.containerPort) for c in pod.spec.containers for p in c.ports]
    udp = {port for protocol, port in declared if protocol == "UDP"}
    tcp = {port for protocol, port in declared if protocol in ("", "TCP")}
    for port in ports:
        if port.remote in udp - tcp:
            raise Failed(f"error: UDP protocol is not supported for {port.remote}")
