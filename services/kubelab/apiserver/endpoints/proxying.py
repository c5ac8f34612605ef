"""The proxy subresource of pods, services and nodes, without a transport of its own: which pod and port a name means,
and a connection there, through the pod's kubelet; of a node, the paths of its kubelet
(https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/#manually-constructing-apiserver-proxy-urls).
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apiserver.endpoints.handler import RequestHandler
from kubelab.apiserver.endpoints.portforward import PodPorts
from kubelab.apiserver.kubelets import Kubelets
from kubelab.apiserver.registry.reader import ObjectReader
from kubelab.apiserver.request import Request
from kubelab.rpc.kubelet.v1 import kubelet_pb2
from kubelab.streams.duplex import Duplex

_DEFAULTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """A port of a pod, and the scheme to speak there."""

    scheme: str
    host: str
    port: int
    ports: PodPorts

    @property
    def authority(self) -> str:
        """``10.244.1.7:8080``, as the ``Host`` of a request to it."""
        return f"{self.host}:{self.port}"

    async def connect(self) -> Duplex:
        """Connect to it. ForwardError."""
        return await self.ports.connect(self.port)


class Proxies:
    """Finds what is proxied to."""

    def __init__(self, handler: RequestHandler, reader: ObjectReader, kubelets: Kubelets) -> None:
        self._handler, self._reader, self._kubelets = handler, reader, kubelets

    @contextlib.asynccontextmanager
    async def target(self, request: Request) -> AsyncGenerator[Target]:
        """Let the body connect to what a request names. Raises what is wrong with the request, BadRequest for a name
        that is none, and Unavailable where no pod stands behind a service."""
        async with self._handler.handling(request):
            kind = request.path.resource
            scheme_, name, port = split(kind, request.path.name)
            if kind == "pods":
                yield await self._pod(request, scheme_, name, port)
            else:
                yield await self._service(request, scheme_, name, port)

    async def read_node(self, request: Request, path: str) -> kubelet_pb2.ReadPathResponse:
        """Read a path of the kubelet of a node. Raises what is wrong with the request, BadRequest for another port of
        the node than the kubelet's, and Unavailable where the kubelet does not answer."""
        async with self._handler.handling(request):
            _, name, port = split("nodes", request.path.name)
            node = core_pb2.Node.FromString((await self._reader.entry(scheme.NODES, "", name)).raw)
            own = node.status.daemonEndpoints.kubeletEndpoint.Port
            if port and port != str(own):
                raise errors.BadRequest(
                    f'invalid node request "{request.path.name}": of a node only the port of its kubelet ({own}) is '
                    "proxied to"
                )
            return await self._kubelets.read_path(node, path)

    async def _pod(self, request: Request, scheme_: str, name: str, port: str) -> Target:
        pod = await self._read_pod(request.namespace, name)
        if not port:
            declared = next((p.containerPort for c in pod.spec.containers for p in c.ports), 0)
            number = declared or _DEFAULTS[scheme_]
        else:
            number = _number(port, f'invalid pod request "{request.path.name}"')
        return await self._target(pod, scheme_, number)

    async def service(self, namespace: str, name: str, port: int) -> Target:
        """Find a pod behind a port of a service, to speak TLS to. Raises what is wrong with the service."""
        return await self._service_target(namespace, "https", name, str(port), name)

    async def _service(self, request: Request, scheme_: str, name: str, port: str) -> Target:
        return await self._service_target(request.namespace, scheme_, name, port, request.path.name)

    async def _service_target(self, namespace: str, scheme_: str, name: str, port: str, shown: str) -> Target:
        """Choose a ready endpoint of a service's port, by chance."""
        entry = await self._reader.entry(scheme.SERVICES, namespace, name)
        service = core_pb2.Service.FromString(entry.raw)
        port_name = _service_port(service, port)
        try:
            stored = await self._reader.entry(scheme.ENDPOINTS, namespace, name)
        except errors.NotFound:
            raise errors.Unavailable(f'no endpoints available for service "{name}"') from None
        endpoints = core_pb2.Endpoints.FromString(stored.raw)
        choices = [
            (address, p.port)
            for subset in endpoints.subsets
            for p in subset.ports
            if p.name == port_name
            for address in subset.addresses
            if address.targetRef.kind == "Pod"
        ]
        if not choices:
            raise errors.Unavailable(f'no endpoints available for service "{shown}"')
        address, number = random.choice(choices)
        namespace = address.targetRef.namespace or namespace
        return await self._target(await self._read_pod(namespace, address.targetRef.name), scheme_, number)

    async def _read_pod(self, namespace: str, name: str) -> core_pb2.Pod:
        return core_pb2.Pod.FromString((await self._reader.entry(scheme.PODS, namespace, name)).raw)

    async def _target(self, pod: core_pb2.Pod, scheme_: str, port: int) -> Target:
        if not pod.spec.nodeName or not pod.status.podIP:
            raise errors.BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
        node = core_pb2.Node.FromString((await self._reader.entry(scheme.NODES, "", pod.spec.nodeName)).raw)
        return Target(scheme_, pod.status.podIP, port, PodPorts(self._kubelets, node, pod))


def split(kind: str, text: str) -> tuple[str, str, str]:
    """Read ``name``, ``name:port`` or ``https:name:port`` as scheme, name and port, upstream's
    ``SplitSchemeNamePort``. BadRequest."""
    parts = text.split(":")
    if len(parts) == 1:
        parts = ["", parts[0], ""]
    elif len(parts) == 2:
        parts = ["", *parts]
    if len(parts) != 3 or parts[0] not in ("", "http", "https") or not parts[1]:
        raise errors.BadRequest(f'invalid {kind.removesuffix("s")} request "{text}"')
    return parts[0] or "http", parts[1], parts[2]


def _service_port(service: core_pb2.Service, port: str) -> str:
    """Give the name of the port that is meant by its name or number; the only one where none is named."""
    ports, name = service.spec.ports, service.metadata.name
    if not port and len(ports) == 1:
        return ports[0].name
    for one in ports:
        if port == one.name or (port.isdecimal() and int(port) == one.port):
            return one.name
    raise errors.Unavailable(f'no service port "{port}" found for service "{name}"')


def _number(text: str, problem: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise errors.BadRequest(problem)
    return int(text)
