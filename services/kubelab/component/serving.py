"""A component's own server: gRPC with mutual TLS, health and reflection."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from kubelab.component import descriptors, sockets
from kubelab.component.config import TLS, ConfigError
from kubelab.component.edge import Check, Edge
from kubelab.rpc.channels import SERVER_OPTIONS, TLSIdentityFiles, server_credentials

MOST_CALLS = 8192  # of all callers together; each has a smaller share at the api-server
STOP_SECONDS = 1.0  # for calls that are under way when a server stops; watches last until then

_reflection: Any = reflection  # its stubs do not know `aio`

Adder = Callable[[grpc.aio.Server], None]


class Health:
    """The gRPC health service of this process."""

    def __init__(self) -> None:
        module: Any = grpc_health  # its stubs do not know `aio`
        self.servicer: Any = module.aio.HealthServicer()
        self.serving = False
        self.note: Callable[[], str] = lambda: ""  # what /readyz adds to "ok"

    async def set_serving(self, serving: bool = True, service: str = "") -> None:
        """Answer SERVING or NOT_SERVING from now on."""
        if not service:
            self.serving = serving
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self.servicer.set(service, status)


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs. ``port`` is the one it got when it asked for 0."""

    server: grpc.aio.Server
    port: int


@contextlib.asynccontextmanager
async def serve_grpc(
    address: str,
    adders: Sequence[Adder],
    *,
    tls: TLS | None,
    health: Health,
    ready: bool = True,
    share_port: bool = False,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    options: Sequence[tuple[str, int | str]] = (),
    check: Check | None = None,
) -> AsyncGenerator[Serving]:
    """Serve on ``host:port`` with mutual TLS, or on ``unix:PATH`` without, until the body ends. ``check`` is made
    before each call.

    Raises ConfigError when the address cannot be had or a file cannot be read.
    """
    address_options = (
        ("grpc.so_reuseport", 1 if share_port else 0),
        ("grpc.max_allowed_incoming_connections", descriptors.connections()),
    )
    # Of an option that is given twice, gRPC takes the first.
    server = grpc.aio.server(
        interceptors=[*interceptors],
        options=[*options, *SERVER_OPTIONS, *address_options],
        maximum_concurrent_rpcs=MOST_CALLS,
    )
    edge: Any = Edge(server, check)
    for add in adders:
        add(edge)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, edge)
    shown = _reflection.aio.ReflectionServicer((*edge.names, reflection.SERVICE_NAME))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(shown, edge)
    port = _listen(server, address, tls)
    await health.set_serving(False)
    await server.start()
    if ready:
        await health.set_serving()
    try:
        yield Serving(server, port)
    finally:
        await health.servicer.enter_graceful_shutdown()
        await server.stop(STOP_SECONDS)


def _listen(server: grpc.aio.Server, address: str, tls: TLS | None) -> int:
    if not address:
        raise ConfigError("bindAddress: required value, expected host:port")
    try:
        if address.startswith("unix:"):
            return server.add_insecure_port(address)
        if tls is None:
            raise ConfigError("tls: required value, expected ca, certificate and key")
        files = TLSIdentityFiles(tls.ca, tls.certificate, tls.key)
        return server.add_secure_port(address, server_credentials(files))
    except OSError as err:
        raise ConfigError(f"tls: {err}") from err
    except RuntimeError as err:  # what grpc raises when it cannot bind
        raise ConfigError(f"bindAddress: cannot listen on {address}{_why(address)}") from err


def _why(address: str) -> str:
    """Name the process that holds the port, if it can be found."""
    port = address.rpartition(":")[2]
    held = sockets.holder(int(port)) if port.isdigit() and int(port) else ""
    return f": {held} holds the port" if held else ""
