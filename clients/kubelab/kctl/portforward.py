"""``kctl port-forward``: local ports whose connections end in a pod.

Every connection is one call of the api-server's ``Pods.PortForward``, so a slow one does not hold up the others. One
more call, without a port, lasts as long as the pod: its end ends the command.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import attachable
from kubelab.kctl.command import Command
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.forwardedports import ForwardedPort, ports_of
from kubelab.kctl.remotecommand.target import POD_RUNNING_TIMEOUT, check_running_timeout
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.apimachinery.clock import Clock
    from kubelab.client.client import Client

LOCALHOST = "localhost"
BACKLOG = 128


@dataclass(frozen=True, slots=True)
class PortForwardOptions:
    address: tuple[str, ...]
    pod_running_timeout: float


def _port_forward(session: Session, args: tuple[str, ...], options: PortForwardOptions) -> int:
    if len(args) < 2:
        raise UsageProblem(
            "TYPE/NAME and list of ports are required for port-forward", session.command_path, hint="arguments"
        )
    check_running_timeout(options.pod_running_timeout)
    hosts = _hosts(options.address)
    namespace = session.namespace
    return session.run(
        lambda client: _run(client, args[0], args[1:], hosts, namespace, options, session.clock), endless=True
    )


def _hosts(addresses: Sequence[str]) -> list[tuple[str, bool]]:
    """Give each address to listen on, and whether it is required. UsageProblem for what is no address."""
    hosts: dict[str, bool] = {}
    for address in addresses:
        if address == LOCALHOST:
            hosts |= {"127.0.0.1": False, "::1": False}
            continue
        try:
            hosts[str(ipaddress.ip_address(address))] = True
        except ValueError:
            raise UsageProblem(f"{address} is not a valid IP") from None
    return list(hosts.items())


async def _run(
    client: Client,
    argument: str,
    words: Sequence[str],
    hosts: Sequence[tuple[str, bool]],
    namespace: str,
    options: PortForwardOptions,
    clock: Clock,
) -> int:
    obj = await attachable.find_object(client, argument, namespace)
    pod = await attachable.pod_of(client, obj, namespace, options.pod_running_timeout, clock)
    ports = ports_of(words, obj, pod)
    if pod.status.phase != "Running":
        raise Failed(
            f"error: unable to forward port because pod is not running. Current status={escaped(pod.status.phase)}"
        )
    return await Forwarder(client, namespace, pod.metadata.name).run(ports, hosts)


class Forwarder:
    """Forwards to one pod, until it ends or the command is interrupted."""

    def __init__(self, client: Client, namespace: str, pod: str) -> None:
        self._client, self._namespace, self._pod = client, namespace, pod
        self._stopped = asyncio.Event()
        self.listening = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._lost = False

    async def run(self, ports: Sequence[ForwardedPort], hosts: Sequence[tuple[str, bool]]) -> int:
        session = await self._client.port_forward(self._namespace, self._pod, 0)
        listeners: list[tuple[socket.socket, ForwardedPort]] = []
        loop = asyncio.get_running_loop()
        try:
            for port in ports:
                listeners += self._listen(port, hosts)
            if not listeners:
                asked = " ".join(f"{{{port.local} {port.remote}}}" for port in ports)
                raise Failed(f"error: unable to listen on any of the requested ports: [{asked}]")
            self.listening.set()
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in a main thread
                loop.add_signal_handler(signal.SIGINT, self._stopped.set)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._accept(sock, port, group)) for sock, port in listeners]
                tasks.append(group.create_task(self._until_pod_ends(session)))
                await self._stopped.wait()
                for task in tasks:
                    task.cancel()
                for connection in self._connections:
                    connection.cancel()
        finally:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(signal.SIGINT)
            for sock, _ in listeners:
                sock.close()
            await session.close()
        if self._lost:
            raise Failed("error: lost connection to pod")
        return 0

    async def _until_pod_ends(self, session: Any) -> None:
        with contextlib.suppress(ConnectionError):
            await session.read()
        self._lost = True
        self._stopped.set()

    def _listen(
        self, port: ForwardedPort, hosts: Sequence[tuple[str, bool]]
    ) -> list[tuple[socket.socket, ForwardedPort]]:
        """Listen on a port of every address; of localhost's two addresses one is enough."""
        made: list[tuple[socket.socket, ForwardedPort]] = []
        failed: list[str] = []
        required = False
        for host, needed in hosts:
            try:
                sock = _listener(host, port.local)
            except OSError as err:
                reason = (err.strerror or str(err)).lower()
                network = "tcp6" if ":" in host else "tcp4"
                failed.append(
                    f"unable to create listener: Error listen {network} {_joined(host, port.local)}: bind: {reason}"
                )
                required = required or needed
                continue
            port = ForwardedPort(sock.getsockname()[1], port.remote)  # the same for the other addresses
            made.append((sock, port))
        if failed and (required or not made):
            for sock, _ in made:
                sock.close()
            print(
                f"Unable to listen on port {port.local}: Listeners failed to create with the following errors: "
                f"[{' '.join(failed)}]",
                file=sys.stderr,
            )
            return []
        for sock, bound in made:
            print(f"Forwarding from {_joined(*sock.getsockname()[:2])} -> {bound.remote}", flush=True)
        return made

    async def _accept(self, listener: socket.socket, port: ForwardedPort, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(listener)
            print(f"Handling connection for {port.local}", flush=True)
            task = group.create_task(self._forward(sock, port))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _forward(self, sock: socket.socket, port: ForwardedPort) -> None:
        from kubelab.apimachinery.errors import ApiError
        from kubelab.streams.duplex import ForwardError, SocketDuplex, relay

        local = SocketDuplex(sock)
        try:
            await relay(local, await self._client.port_forward(self._namespace, self._pod, port.remote))
        except (ForwardError, ApiError) as err:
            message = err.message if isinstance(err, ApiError) else str(err)
            print(
                f"error: an error occurred forwarding {port.local} -> {port.remote}: {escaped(message)}",
                file=sys.stderr,
            )
            self._lost = True  # kubectl ends too
            self._stopped.set()
        except ConnectionError:
            pass  # one side broke it off, as programs do
        finally:
            await local.close()


def _listener(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


PORT_FORWARD = Command(
    "port-forward",
    run=_port_forward,
    options=PortForwardOptions,
    flags=(
        Flag(
            "--address",
            kind="csv",
            default=("localhost",),
            help="Addresses to listen on (comma separated). Only accepts IP addresses or localhost as a value. When "
            "localhost is supplied, kctl will try to bind on both 127.0.0.1 and ::1 and will fail if neither of these "
            "addresses are available to bind.",
        ),
        POD_RUNNING_TIMEOUT,
    ),
    about="Forward one or more local ports to a pod.\n\n"
    " Use resource type/name such as deployment/mydeployment to select a pod. Resource type defaults to 'pod' if "
    "omitted.\n\n"
    " If there are multiple pods matching the criteria, a pod will be selected automatically. The forwarding session "
    "ends when the selected pod terminates, and a rerun of the command is needed to resume forwarding.",
    examples="""\
# Listen on ports 5000 and 6000 locally, forwarding data to/from ports 5000 and 6000 in the pod
kctl port-forward pod/mypod 5000 6000

# Listen on ports 5000 and 6000 locally, forwarding data to/from ports 5000 and 6000 in a pod selected by the deployment
kctl port-forward deployment/mydeployment 5000 6000

# Listen on port 8443 locally, forwarding to the targetPort of the service's port named "https" in a pod selected by \
the service
kctl port-forward service/myservice 8443:https

# Listen on port 8888 locally, forwarding to 5000 in the pod
kctl port-forward pod/mypod 8888:5000

# Listen on port 8888 on all addresses, forwarding to 5000 in the pod
kctl port-forward --address 0.0.0.0 pod/mypod 8888:5000

# Listen on a random port locally, forwarding to 5000 in the pod
kctl port-forward pod/mypod :5000""",
    usage="kctl port-forward TYPE/NAME [options] [LOCAL_PORT:]REMOTE_PORT [...[LOCAL_PORT_N:]REMOTE_PORT_N]",
)
