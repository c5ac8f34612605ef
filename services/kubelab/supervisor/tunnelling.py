"""The supervisor's part of the tunnels: their list, the targets of each, and their listening sockets.

The process of the tunnels (:mod:`kubelab.tunnels`) carries the bytes. The supervisor opens every listening socket, in
the machine's own network namespace, hands it over, and keeps it as well: when the process is killed, connections wait
in the kernel's queue until the next process takes them. When the supervisor is killed, the next one takes the sockets
back from the process. The list of tunnels is on disk, so they survive the end of both.

There is one connection to the process at a time, and one request at a time on it. The process's keeper runs
:meth:`watch`, which sends each new process all tunnels before it reports the process as healthy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass

import structlog

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import AlreadyExists, ApiError, BadRequest, TooManyRequests, Unavailable
from kubelab.cluster import launch
from kubelab.files import atomicfile, statefile
from kubelab.supervisor import plan, processes
from kubelab.supervisor.network import NamespaceThread
from kubelab.topology.record import Record
from kubelab.tunnels.client import ControlClient
from kubelab.tunnels.listener import BACKLOG
from kubelab.tunnels.model import ANY_NODE, TUNNELS_FILE, Route, Tunnel, TunnelTarget, check_port
from kubelab.tunnels.tunnels import LOCALHOST, MOST_TUNNELS

PING_SECONDS = 2.0  # between two health checks of the process
RETRY_SECONDS = 0.05  # while it is just starting
END_SECONDS = 5.0


@dataclass(slots=True)
class _TunnelEntry:
    tunnel: Tunnel
    route: Route
    listener: socket.socket


class Tunnelling:
    """``host`` is a thread in the machine's own network namespace."""

    def __init__(
        self, record: Record, host: NamespaceThread, clock: Clock, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._record, self._host, self._clock, self._log = record, host, clock, log
        self._file = record.run / "tunnels.json"
        self._tunnels: dict[int, _TunnelEntry] = {}
        self._client: ControlClient | None = None
        self._unhealthy: frozenset[str] = frozenset()

    async def begin(self) -> None:
        """Take over what is open, open what was, and the api-servers' ports. AlreadyExists: one of those is taken."""
        tunnels = {tunnel.local_port: tunnel for tunnel in self._read()}
        taken = await self._take_over()
        record = self._record
        for ports, target in ((record.api_ports, plan.API_PORT), (record.https_ports, plan.HTTPS_PORT)):
            for plane, port in zip(record.control_planes, ports, strict=False):
                tunnels[port] = Tunnel(port, plane.name, f"{plane.address}:{target}")
        for port, tunnel in tunnels.items():
            try:
                route = self._route(tunnel)
                listener = taken.pop(port, None) or await self._listen(port)
            except (AlreadyExists, BadRequest) as err:
                self._log.error("a tunnel cannot be opened again", port=port, error=err.message)
                if port in record.all_api_ports:
                    raise
                continue
            self._tunnels[port] = _TunnelEntry(tunnel, route, listener)
        for unused in taken.values():
            unused.close()
        self._write()

    def close(self) -> None:
        """Give back every port; the process's own copies end with it."""
        for entry in self._tunnels.values():
            entry.listener.close()
        self._tunnels.clear()
        if self._client:
            self._client.close()

    def list(self) -> list[Tunnel]:
        """Give every open tunnel."""
        return [entry.tunnel for entry in self._tunnels.values()]

    async def open(self, node: str, address: str, local_port: int = 0) -> Tunnel:
        """Open a tunnel, or give the one that is open; without a node, each connection goes in by one that answers.

        AlreadyExists: the port is taken; TooManyRequests: there are too many; BadRequest: no such node or address.
        """
        check_port(local_port)
        route = self._route(Tunnel(local_port, node, address))
        for entry in self._tunnels.values():
            same = (entry.tunnel.node, entry.tunnel.address) == (node, address)
            if same and local_port in (0, entry.tunnel.local_port):
                return entry.tunnel
        if len(self._tunnels) >= MOST_TUNNELS:
            raise TooManyRequests(f"{MOST_TUNNELS} tunnels are open; close one of them")
        listener = await self._listen(local_port)
        tunnel = Tunnel(int(listener.getsockname()[1]), node, address)
        entry = self._tunnels[tunnel.local_port] = _TunnelEntry(tunnel, route, listener)
        self._write()
        await self._send(lambda client: client.open(entry.tunnel, entry.route, entry.listener))
        return tunnel

    async def close_tunnel(self, local_port: int) -> None:
        """Close a tunnel with its connections; one that is not open is no error. BadRequest for an api-server's."""
        if local_port in self._record.all_api_ports:
            raise BadRequest(f"port {local_port}: leads to an api-server, and stays as long as the cluster")
        entry = self._tunnels.pop(local_port, None)
        if entry:
            self._write()
            await self._send(lambda client: client.close_tunnel(local_port))
            entry.listener.close()

    async def avoid(self, names: Iterable[str]) -> None:
        """Let connections try these addresses of api-servers and these nodes last."""
        unhealthy = frozenset(names)
        if unhealthy != self._unhealthy:
            self._unhealthy = unhealthy
            await self._send(lambda client: client.unhealthy(unhealthy))

    async def watch(self, clock: Clock, notify: Callable[[bool], Awaitable[None]]) -> None:
        """Bring the running process up to date; call ``notify`` with its health at each change, until cancelled."""
        healthy: bool | None = None
        while True:
            now = False
            try:
                client = self._client or await self._connect()
                await client.state()
                now = True
            except Unavailable as err:
                if healthy:
                    self._log.warning("the tunnels' process is unhealthy", error=err.message)
                self._drop()
            except ApiError as err:
                self._log.error("the tunnels' process refuses a request", error=err.message)
                self._drop()
            if now != healthy:
                healthy = now
                await notify(healthy)
            await clock.sleep(PING_SECONDS if now else RETRY_SECONDS)

    async def _connect(self) -> ControlClient:
        """Connect to the process, and make what it has open what should be, also what changes meanwhile."""
        client = ControlClient(self._record.tunnels_socket, self._clock)
        client.connect()
        try:
            carried: dict[int, Tunnel] = {tunnel.local_port: tunnel for tunnel, _ in await client.list()}
            unchanged: set[int] = set()
            unhealthy: frozenset[str] | None = None
            while True:
                extra = [port for port, tunnel in carried.items() if self._tunnel(port) != tunnel]
                missing = [entry for port, entry in self._tunnels.items() if port not in unchanged]
                if not extra and not missing and unhealthy == self._unhealthy:
                    self._client = client  # from now on each change is sent at once
                    return client
                for port in extra:
                    await client.close_tunnel(port)
                    del carried[port]
                    unchanged.discard(port)
                for entry in missing:
                    await client.open(entry.tunnel, entry.route, entry.listener)
                    carried[entry.tunnel.local_port] = entry.tunnel
                    unchanged.add(entry.tunnel.local_port)
                unhealthy = self._unhealthy
                await client.unhealthy(unhealthy)
        except BaseException:
            client.close()
            raise

    def _tunnel(self, local_port: int) -> Tunnel | None:
        entry = self._tunnels.get(local_port)
        return entry.tunnel if entry else None

    def _drop(self) -> None:
        if self._client:
            self._client.close()
            self._client = None

    async def _send(self, what: Callable[[ControlClient], Awaitable[None]]) -> None:
        """Send a change to the tunnels' process, if it runs; :meth:`watch` sends a later one the whole state."""
        if self._client is None:
            return
        try:
            await what(self._client)
        except Unavailable as err:
            self._log.warning("the tunnels' process does not answer; it gets its tunnels later", error=err.message)
            self._drop()

    async def _take_over(self) -> dict[int, socket.socket]:
        """Take the listening sockets from a process that runs already; one that does not give them ends."""
        running = processes.read(self._record.processes, plan.TUNNELS)
        if running is None:
            return {}
        taken: dict[int, socket.socket] = {}
        try:
            async with ControlClient(self._record.tunnels_socket, self._clock) as client:
                for tunnel, _ in await client.list():
                    if sock := await client.take(tunnel.local_port):
                        taken[tunnel.local_port] = sock
        except ApiError as err:
            self._log.warning("the former tunnels' process does not answer, starting a new one", error=err.message)
            for sock in taken.values():
                sock.close()
            taken = {}
            running.signal(signal.SIGKILL)
            await launch.wait_ended(running.pid, END_SECONDS)
        return taken

    def _route(self, tunnel: Tunnel) -> Route:
        """Work out the ways that lead to a tunnel's address. BadRequest."""
        nodes = {node.name: node.address for node in self._record.nodes}
        target = TunnelTarget.of(tunnel.node, tunnel.address)
        planes = {f"{plane.address}:{target.port}": plane for plane in self._record.control_planes}
        if tunnel.local_port in self._record.all_api_ports and tunnel.address in planes:
            others = [
                TunnelTarget.of(plane.name, address) for address, plane in planes.items() if address != tunnel.address
            ]
            return Route((target, *others), client_first=True)
        if tunnel.node != ANY_NODE:
            if tunnel.node not in nodes:
                raise BadRequest(f'node "{tunnel.node}" not found')
            return Route((target,))
        # A node's own port is asked of each node at its own address; what is elsewhere, from each node.
        is_node_address = target.host in nodes.values()
        first = sorted(nodes, key=lambda name: nodes[name] != target.host)
        return Route(
            tuple(TunnelTarget(name, nodes[name] if is_node_address else target.host, target.port) for name in first)
        )

    async def _listen(self, local_port: int) -> socket.socket:
        listener = await asyncio.wrap_future(self._host.tcp_socket())
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((LOCALHOST, local_port))
            listener.listen(BACKLOG)
        except OSError as err:
            listener.close()
            raise AlreadyExists(f"cannot listen on {LOCALHOST}:{local_port}: {err.strerror}") from err
        return listener

    def _read(self) -> list[Tunnel]:
        return statefile.read_or_forget(self._file, TUNNELS_FILE, self._log.error) or []

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: the tunnels stay open
            atomicfile.write(self._file, json.dumps([asdict(entry.tunnel) for entry in self._tunnels.values()]))
