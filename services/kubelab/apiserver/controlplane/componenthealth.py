"""The health of the scheduler, the controller-manager and etcd's members, asked of each by the gRPC health service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kubelab.api.core.v1 import componentstatuses_pb2
from kubelab.apiserver.config import ApiServerConfig
from kubelab.component.config import TLS
from kubelab.rpc.channels import TLSIdentityFiles, open_channel
from kubelab.topology.components import server_name

SECONDS = 2.0  # for an answer


@dataclass(frozen=True, slots=True)
class _Component:
    """``certificate`` is the name that the server's certificate has; empty: its address."""

    name: str
    address: str
    tls: TLS | None
    certificate: str = ""


class ComponentHealth:
    """Asks those that belong to an api-server: on its own node, and the members of etcd that it uses."""

    def __init__(self, config: ApiServerConfig, process: str) -> None:
        node, tls = process.partition("@")[2], config.kubelet_client
        self._components = [
            _Component(
                "controller-manager", config.controller_manager_address, tls, server_name(f"controller-manager@{node}")
            ),
            _Component("scheduler", config.scheduler_address, tls, server_name(f"scheduler@{node}")),
            *(
                _Component(f"etcd-{number}", server.removeprefix("https://"), config.etcd.tls)
                for number, server in enumerate(config.etcd.servers)
            ),
        ]

    async def __call__(self) -> Sequence[componentstatuses_pb2.ComponentStatus]:
        """Ask all at once, and give their statuses."""
        return await asyncio.gather(*(self._status(component) for component in self._components))

    async def _status(self, component: _Component) -> componentstatuses_pb2.ComponentStatus:
        problem = await _problem(component)
        status = componentstatuses_pb2.ComponentStatus()
        status.metadata.name = component.name
        status.conditions.add(type="Healthy", status=str(not problem), message=problem or "ok")
        return status


async def _problem(component: _Component) -> str:
    """Say why a component is not healthy; empty where it is."""
    tls, address = component.tls, component.address
    try:
        identity = TLSIdentityFiles(tls.ca, tls.certificate, tls.key).current() if tls is not None else None
    except OSError as err:
        return f"cannot ask {address}: {err}"
    channel = open_channel(address, identity, server_name=component.certificate)
    try:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    except grpc.aio.AioRpcError as err:
        return f"{address}: {_short(err.details() or err.code().name)}"
    finally:
        await channel.close()
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        return f"{address}: {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}"
    return ""


def _short(details: str) -> str:
    """The last of the reasons that gRPC strings together."""
    return details.rpartition(": ")[2] if "failed to connect" in details else details
