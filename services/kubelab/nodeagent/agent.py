"""The agent: tunnels into this machine, by gRPC on a unix socket, with health."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from functools import partial
from typing import Any

import grpc

from kubelab.apimachinery.grpcstatus import answering
from kubelab.component.component import Component
from kubelab.component.environment import Environment
from kubelab.component.tunnels import Tunnel, Tunnels
from kubelab.nodeagent.config import NodeAgentConfig
from kubelab.supervisor.v1 import nodeagent_pb2_grpc
from kubelab.supervisor.v1 import supervisor_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class Here:
    """This process's own network namespace, as a place for sockets."""

    def tcp_socket(self) -> Future[socket.socket]:
        made: Future[socket.socket] = Future()
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        except OSError as err:
            made.set_exception(err)
            return made
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.set_result(sock)
        return made


class NodeAgentServicer(nodeagent_pb2_grpc.NodeAgentServicer):
    """Answers for one machine; a request may leave its name out."""

    def __init__(self, node: str, tunnels: Tunnels) -> None:
        self._node, self._tunnels = node, tunnels

    async def OpenTunnel(self, request: pb.OpenTunnelRequest, context: Context) -> pb.Tunnel:
        async with answering(context):
            node = request.node or self._node
            return _tunnel(await self._tunnels.open(node, request.address, request.local_port))

    async def CloseTunnel(self, request: pb.CloseTunnelRequest, context: Context) -> pb.CloseTunnelResponse:
        async with answering(context):
            await self._tunnels.close(request.local_port)
            return pb.CloseTunnelResponse()

    async def ListTunnels(self, request: pb.ListTunnelsRequest, context: Context) -> pb.ListTunnelsResponse:
        return pb.ListTunnelsResponse(tunnels=[_tunnel(t) for t in self._tunnels.list()])


def _tunnel(tunnel: Tunnel) -> pb.Tunnel:
    return pb.Tunnel(local_port=tunnel.local_port, node=tunnel.node, address=tunnel.address)


async def run(config: NodeAgentConfig, env: Environment) -> None:
    """Open the tunnels that were open, and serve until told to stop."""
    node = config.node_name or socket.gethostname()
    here = Here()
    tunnels = Tunnels(
        here, {node: here}, config.tunnels_file, env.clock, env.log, listen=config.tunnel_address, ports=config.ports
    )
    async with tunnels, serving(config, env, NodeAgentServicer(node, tunnels)):
        await env.stop.wait()


@contextlib.asynccontextmanager
async def serving(config: NodeAgentConfig, env: Environment, servicer: NodeAgentServicer) -> AsyncGenerator[None]:
    """Serve on the socket, which only this user may open."""
    config.socket.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        add = partial(nodeagent_pb2_grpc.add_NodeAgentServicer_to_server, servicer)
        async with env.serve(add, address=f"unix:{config.socket}"):
            os.umask(before)
            yield
    finally:
        os.umask(before)


COMPONENT = Component("node-agent", NodeAgentConfig, run)
