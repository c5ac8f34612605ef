"""Ports of the host that lead into nodes.

Listening sockets belong to a network namespace outside (the host's, of a local cluster), outgoing ones to the nodes':
a service address works because the nodes' own rules translate it.

Tunnels open and close one after the other; each connection has a task of its own. A failure in one task ends no other
task.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import AlreadyExists, BadRequest, TooManyRequests
from kubelab.tunnels.connecting import Connector
from kubelab.tunnels.connection import TunnelConnection, refuse
from kubelab.tunnels.connectionlimits import ConnectionLimiter, ConnectionLimits
from kubelab.tunnels.listener import BACKLOG, LATER_SECONDS, Listener
from kubelab.tunnels.model import Network, Route, Tunnel, TunnelTarget, addresses_of, check_port
from kubelab.tunnels.peers import Peers
from kubelab.tunnels.targethealth import TargetHealth

LOCALHOST = "127.0.0.1"
MOST_TUNNELS = 128


@dataclass(slots=True)
class _Open:
    tunnel: Tunnel
    route: Route
    listener: Listener
    task: asyncio.Task[None]


class Tunnels:
    """Every open tunnel. ``nodes`` maps names to where they are; ``outside`` is where ports are listened on, at
    ``listen``: any that is free, or one of ``ports``."""

    def __init__(
        self,
        outside: Network,
        nodes: Mapping[str, Network],
        clock: Clock,
        log: structlog.typing.FilteringBoundLogger,
        *,
        listen: str = LOCALHOST,
        ports: Sequence[int] = (),
        limits: ConnectionLimits | None = None,
    ) -> None:
        self._outside, self._nodes, self._clock, self._log = outside, nodes, clock, log
        self._address, self._ports = listen, ports
        self._open: dict[int, _Open] = {}
        self._group = asyncio.TaskGroup()
        self.target_health = TargetHealth()
        self.limiter = ConnectionLimiter(limits or ConnectionLimits.of_descriptors())
        self._connector = Connector(nodes, self.target_health, clock)
        self._peers = Peers()

    async def __aenter__(self) -> Tunnels:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for one in [*self._open.values()]:
            await self.close(one.tunnel.local_port)
        await self._group.__aexit__(None, None, None)
        self._peers.close()

    def list(self) -> list[Tunnel]:
        """Give every open tunnel."""
        return [one.tunnel for one in self._open.values()]

    def listener(self, local_port: int) -> socket.socket | None:
        """Return the listening socket of a tunnel, for the supervisor, which keeps it open too."""
        tunnel = self._open.get(local_port)
        return tunnel.listener.sock if tunnel else None

    def route_of(self, local_port: int) -> Route | None:
        tunnel = self._open.get(local_port)
        return tunnel.route if tunnel else None

    async def open(
        self,
        node: str,
        address: str,
        local_port: int = 0,
        *,
        route: Route | None = None,
        listener: socket.socket | None = None,
    ) -> Tunnel:
        """Open a tunnel, or give the one that is open. ``listener`` listens already, and is ours from now on.

        AlreadyExists: the port is taken; TooManyRequests: all ports are; BadRequest: no such node, or not our port.
        """
        try:
            check_port(local_port)
            route = route or self._only_by(node, address)
            for one in self._open.values():
                is_same = (one.tunnel.node, one.tunnel.address) == (node, address)
                if is_same and local_port in (0, one.tunnel.local_port):
                    one.route = route
                    if listener:
                        listener.close()
                    return one.tunnel
            if len(self._open) >= MOST_TUNNELS:
                raise TooManyRequests(f"{MOST_TUNNELS} tunnels are open; close one of them")
            sock = listener or self._listen_on(local_port)
        except BaseException:
            if listener:
                listener.close()
            raise
        tunnel = Tunnel(int(sock.getsockname()[1]), node, address)
        listening = Listener(
            sock,
            lambda accepted: self._take(tunnel.local_port, accepted),
            self.limiter.make_room,
            self._clock,
            self._log,
        )
        task = self._group.create_task(self._keep(listening), name=f"tunnel {tunnel.local_port}")
        self._open[tunnel.local_port] = _Open(tunnel, route, listening, task)
        return tunnel

    async def close(self, local_port: int) -> None:
        """Close a tunnel with its connections; one that is not open is no error."""
        tunnel = self._open.pop(local_port, None)
        if tunnel is None:
            return
        tunnel.task.cancel()
        await asyncio.wait([tunnel.task])
        tunnel.listener.close()
        self.target_health.forget(tunnel.route)
        for connection in self.limiter.all_of(local_port):
            connection.evict()

    def _only_by(self, node: str, address: str) -> Route:
        if node not in self._nodes:
            raise BadRequest(f'node "{node}" not found')
        return Route((TunnelTarget.of(node, address),))

    def _listen_on(self, local_port: int) -> socket.socket:
        """Take a port, or one of ours that is free."""
        if local_port or not self._ports:
            return self._listen(local_port)
        for port in self._ports:
            if port not in self._open:
                with contextlib.suppress(AlreadyExists):  # another process has the port: logged
                    return self._listen(port)
        message = f"all tunnel ports of this node are in use: {self._ports[0]} to {self._ports[-1]}; close one of them"
        raise TooManyRequests(message)

    def _listen(self, local_port: int) -> socket.socket:
        if local_port and self._ports and local_port not in self._ports:
            message = f"port {local_port}: tunnels of this node have the ports {self._ports[0]} to {self._ports[-1]}"
            raise BadRequest(message)
        try:
            listener = self._outside.tcp_socket()
        except OSError as err:
            raise TooManyRequests(f"cannot open a tunnel now: {err.strerror}") from err
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._address, local_port))
            listener.listen(BACKLOG)
        except OSError as err:
            listener.close()
            self._log.warning("tunnel cannot be opened", port=local_port, error=str(err))
            raise AlreadyExists(f"cannot listen on {self._address}:{local_port}: {err.strerror}") from err
        return listener

    async def _keep(self, listening: Listener) -> None:
        while True:
            try:
                await listening.run()
            except Exception:  # noqa: BLE001 — a bug: the other tunnels go on, and so does this one
                self._log.exception("a listener failed", port=listening.port)
                await self._clock.sleep(LATER_SECONDS)

    def _take(self, local_port: int, accepted: socket.socket) -> None:
        connection = TunnelConnection(accepted, local_port, self._peers.of(accepted), self._clock)
        tunnel = self._open.get(local_port)
        if tunnel is None or not self.limiter.admit(connection):
            refuse(accepted)
            return
        with contextlib.suppress(OSError):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._group.create_task(self._carry(connection, tunnel.route), name=f"connection of {local_port}")

    async def _carry(self, connection: TunnelConnection, route: Route) -> None:
        try:
            await connection.carry(route, self._connector.connect, self._connector.note)
        except Exception:  # noqa: BLE001
            # A bug, or the network in a new mood: it is one connection's, and no other one's.
            self._log.exception("a connection failed", port=connection.port, to=addresses_of(route.targets))
        finally:
            self.limiter.release(connection)
