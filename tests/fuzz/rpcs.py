"""What a server can be asked, by its own reflection: each method with its messages' descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from kubelab.cri.runtime.v1 import api_pb2
from kubelab.rpc.apiserver.v1 import apiserver_pb2
from kubelab.rpc.kubelet.v1 import kubelet_pb2
from kubelab.rpc.runtime.v1 import images_pb2
from kubelab.rpc.supervisor.v1 import nodeagent_pb2, supervisor_pb2

# What knows a service has to be imported before it is looked up.
CONTRACTS = (apiserver_pb2, api_pb2, health_pb2, images_pb2, kubelet_pb2, nodeagent_pb2, reflection_pb2, supervisor_pb2)

_LIST = reflection_pb2.ServerReflectionRequest(list_services="")


@dataclass(frozen=True, slots=True)
class Rpc:
    """A method. ``path`` is what a channel calls."""

    path: str
    request: type[Message]
    answer: type[Message]
    many_requests: bool
    many_answers: bool

    @property
    def shape(self) -> str:
        """The name of a channel's maker of such calls."""
        return f"{'stream' if self.many_requests else 'unary'}_{'stream' if self.many_answers else 'unary'}"


async def of_server(channel: grpc.aio.Channel) -> Sequence[Rpc]:
    """Every method of every service, health and reflection included."""
    any_channel: Any = channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(any_channel)
    names: list[str] = []
    async for answer in stub.ServerReflectionInfo(iter([_LIST]), timeout=30):
        names += [service.name for service in answer.list_services_response.service]
    rpcs = [rpc for name in sorted({*names, "grpc.health.v1.Health"}) for rpc in of_service(name)]
    assert rpcs, "a server has methods"
    return rpcs


def of_service(name: str) -> list[Rpc]:
    """The methods of a service that this process knows."""
    pool = descriptor_pool.Default()
    service: Any = pool.FindServiceByName(name)
    return [
        Rpc(
            f"/{name}/{method.name}",
            message_factory.GetMessageClass(method.input_type),
            message_factory.GetMessageClass(method.output_type),
            method.client_streaming,
            method.server_streaming,
        )
        for method in service.methods
    ]
