"""PortForward of the CRI: connections to ports of localhost in a sandbox's network namespace."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc

from kubelab.apimachinery.clock import Clock
from kubelab.runtime.errors import CRIError
from kubelab.runtime.network import insidepod
from kubelab.runtime.pods.inventory import Inventory
from kubelab.runtime.pods.state import Sandbox
from kubelab.runtime.streaming.server import StreamingServer
from kubelab.spdy.connection import Connection
from kubelab.spdy.portforward import PROTOCOL, PortForwardServer
from kubelab.streams.duplex import Duplex, ForwardError, SocketDuplex


class PortForwards:
    """Forwarded ports end with their sandbox."""

    def __init__(self, inventory: Inventory, server: StreamingServer, clock: Clock) -> None:
        self._inventory, self._server, self._clock = inventory, server, clock

    def offer(self, sandbox_id: str) -> str:
        """Give the URL for one connection. CRIError NOT_FOUND, or FAILED_PRECONDITION for a sandbox that ended."""
        sandbox = self._inventory.sandbox(sandbox_id)
        if not sandbox.ready:
            message = f"sandbox container {sandbox.id!r} is not running"
            raise CRIError(message, grpc.StatusCode.FAILED_PRECONDITION)
        return self._server.offer("portforward", (PROTOCOL,), partial(self._serve, sandbox))

    async def _serve(self, sandbox: Sandbox, connection: Connection) -> None:
        watch = self._inventory.watches.get(sandbox.id)
        if watch is None or not sandbox.ready:
            return
        server = PortForwardServer(connection, partial(self._dial, sandbox), self._clock)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.run(), name="port-forward")
            ended = group.create_task(watch.over.wait(), name="sandbox-end")
            await asyncio.wait((serving, ended), return_when=asyncio.FIRST_COMPLETED)
            serving.cancel()
            ended.cancel()

    async def _dial(self, sandbox: Sandbox, port: int) -> Duplex:
        try:
            if not sandbox.ready:
                raise OSError("the pod has ended")
            return SocketDuplex(await insidepod.connect(sandbox.pid, port, self._clock))
        except OSError as err:
            raise ForwardError(
                f"error forwarding port {port} to pod {sandbox.id}, uid : failed to execute portforward in network "
                f'namespace "/proc/{sandbox.pid}/ns/net": failed to connect to localhost:{port} inside namespace '
                f'"{sandbox.id}", {err}'
            ) from err
