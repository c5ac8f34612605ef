"""The agent: tunnels into this machine, by gRPC on a unix socket, with health."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import AsyncGenerator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import structlog

from kubelab.apimachinery.errors import AlreadyExists, BadRequest
from kubelab.component.component import Component
from kubelab.component.environment import Environment
from kubelab.files import atomicfile, statefile
from kubelab.nodeagent.config import NodeAgentConfig
from kubelab.rpc.supervisor.v1 import nodeagent_pb2_grpc
from kubelab.rpc.supervisor.v1 import supervisor_pb2 as pb
from kubelab.tunnels.model import TUNNELS_FILE, HostNetwork, Tunnel
from kubelab.tunnels.tunnels import Tunnels

Context = grpc.aio.ServicerContext[Any, Any]


class Remembered:
    """The tunnels of this machine, written down, so that they come back on their ports after a restart."""

    def __init__(self, tunnels: Tunnels, file: Path, log: structlog.typing.FilteringBoundLogger) -> None:
        self._tunnels, self._file, self._log = tunnels, file, log

    async def begin(self) -> None:
        """Open the tunnels of the file again; log those that cannot be opened."""
        remembered = statefile.read_or_forget(self._file, TUNNELS_FILE, self._log.error)
        for tunnel in remembered or ():
            with contextlib.suppress(AlreadyExists, BadRequest):
                await self._tunnels.open(tunnel.node, tunnel.address, tunnel.local_port)
        self._write()

    def list(self) -> list[Tunnel]:
        return self._tunnels.list()

    async def open(self, node: str, address: str, local_port: int) -> Tunnel:
        tunnel = await self._tunnels.open(node, address, local_port)
        self._write()
        return tunnel

    async def close(self, local_port: int) -> None:
        await self._tunnels.close(local_port)
        self._write()

    def _write(self) -> None:
        atomicfile.write(self._file, json.dumps([asdict(tunnel) for tunnel in self.list()]))


class NodeAgentServicer(nodeagent_pb2_grpc.NodeAgentServicer):
    """Answers for one machine; a request may leave its name out."""

    def __init__(self, node: str, tunnels: Remembered) -> None:
        self._node, self._tunnels = node, tunnels

    async def OpenTunnel(self, request: pb.OpenTunnelRequest, context: Context) -> pb.Tunnel:
        node = request.node or self._node
        return _tunnel(await self._tunnels.open(node, request.address, request.local_port))

    async def CloseTunnel(self, request: pb.CloseTunnelRequest, context: Context) -> pb.CloseTunnelResponse:
        await self._tunnels.close(request.local_port)
        return pb.CloseTunnelResponse()

    async def ListTunnels(self, request: pb.ListTunnelsRequest, context: Context) -> pb.ListTunnelsResponse:
        return pb.ListTunnelsResponse(tunnels=[_tunnel(t) for t in self._tunnels.list()])


def _tunnel(tunnel: Tunnel) -> pb.Tunnel:
    return pb.Tunnel(local_port=tunnel.local_port, node=tunnel.node, address=tunnel.address)


async def run(config: NodeAgentConfig, env: Environment) -> None:
    """Open the tunnels that were open, and serve until stopped."""
    node = config.node_name or socket.gethostname()
    here = HostNetwork()
    listen, ports = config.tunnel_address, config.ports
    async with Tunnels(here, {node: here}, env.clock, env.log, listen=listen, ports=ports) as tunnels:
        remembered = Remembered(tunnels, config.tunnels_file, env.log)
        await remembered.begin()
        async with serving(config, env, NodeAgentServicer(node, remembered)):
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
