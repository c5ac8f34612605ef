"""The driver of a compose cluster: the docker CLI, and byte relays to the sockets inside of its nodes.

One call of ``docker inspect`` returns every container; ``docker events`` announces changes. So the driver also sees
what a user does by hand (``docker compose stop kubelet-2``), and its actions are the same commands; see
:mod:`kubelab.cluster.composeactions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

import grpc

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.client.kubeconfig import Kubeconfig
from kubelab.client.loadingrules import LoadingRules
from kubelab.client.transport import Connections, Method
from kubelab.cluster import containers as reading
from kubelab.cluster.composeactions import ComposeActions
from kubelab.cluster.composeetcd import leading
from kubelab.cluster.composepartitions import ComposePartitions
from kubelab.cluster.composeproject import check_kubeconfig
from kubelab.cluster.composerecord import ComposeRecord
from kubelab.cluster.containers import AGENT_SOCKET, ONE_OFF, PROJECT, RUNTIME_SOCKET, ComposeContainer
from kubelab.cluster.docker import Docker
from kubelab.cluster.driver import (
    Action,
    ClusterNode,
    ClusterStatus,
    ClusterTunnel,
    CommandOutput,
    Process,
    ProcessState,
)
from kubelab.cluster.relay import Relays
from kubelab.cluster.usage import usage
from kubelab.rpc.supervisor.v1 import supervisor_pb2 as pb
from kubelab.topology.partitions import Partition
from kubelab.topology.settings import flag

CALL_SECONDS = 10.0
REPLAY_SECONDS = 5  # docker repeats the events of so many seconds: none is lost as a watch begins
LEADER_SECONDS = 2.0  # between two queries: etcd announces no change of leader
HEALTH_SECONDS = 1.0  # docker checks health seldom; this checks unhealthy containers more often
EVENTS = (
    *("create", "start", "die", "stop", "kill", "pause", "unpause", "restart", "destroy", "rename"),
    "health_status",
)
RELAY = ("python3", "-m", "kubelab.nodeagent", "--relay")

_SERVICE = "/kubelab.rpc.supervisor.v1.NodeAgent/"
OPEN_TUNNEL = Method(_SERVICE + "OpenTunnel", pb.OpenTunnelRequest, pb.Tunnel, idempotent=True)
CLOSE_TUNNEL = Method(_SERVICE + "CloseTunnel", pb.CloseTunnelRequest, pb.CloseTunnelResponse)
LIST_TUNNELS = Method(_SERVICE + "ListTunnels", pb.ListTunnelsRequest, pb.ListTunnelsResponse, idempotent=True)


class ComposeCluster:
    """A docker compose project. Nothing is asked of docker before the first call."""

    def __init__(
        self,
        record: ComposeRecord,
        *,
        caller: str = "kubelab",
        docker: Docker | None = None,
        clock: Clock | None = None,
        rules: LoadingRules | None = None,
    ) -> None:
        self.name = record.name
        self._record, self._caller = record, caller
        self._docker = docker or Docker(record.docker_host)
        self._clock = clock or SystemClock()
        self._rules = rules or LoadingRules.of()
        self._relays = Relays(self._docker.environment)
        self._agents: dict[str, Connections] = {}
        self._cuts = ComposePartitions(self._docker, record.folder / "partitions.json")

    @property
    def kubeconfig(self) -> Kubeconfig:
        return self._rules.load()

    async def containers(self) -> list[ComposeContainer]:
        """Look at every container of the project. Unavailable when none of them runs."""
        containers = await self._look()
        if not any(c.runs for c in containers):
            raise errors.Unavailable(
                f'cluster "{self.name}" is not running; start it with: '
                f"docker compose --project-directory {self._record.directory} up -d"
            )
        return containers

    async def status(self) -> ClusterStatus:
        containers = await self.containers()
        uses, leader = await asyncio.gather(usage(self._docker, containers), leading(self._docker, containers))
        processes: list[Process] = []
        for container in reading.ordered(containers):
            used = uses.get(container.id)
            process = replace(container.process(), leader=container.name == leader)
            if used is not None:
                process = replace(process, memory_bytes=used.memory_bytes, cpu_seconds=used.cpu_seconds)
            processes.append(process)
        return ClusterStatus(self.name, tuple(processes), tuple(self._nodes(containers)))

    async def watch_status(self) -> AsyncGenerator[ClusterStatus]:
        before: ClusterStatus | None = None
        async with aclosing(self._looks()) as looks:
            async for containers in looks:
                leader = await leading(self._docker, containers)
                processes = tuple(replace(c.process(), leader=c.name == leader) for c in reading.ordered(containers))
                now = ClusterStatus(self.name, processes, tuple(self._nodes(containers)))
                if now != before:
                    yield now
                before = now

    async def nodes(self) -> Sequence[ClusterNode]:
        """Name the nodes that pods run on. Conflict when the kubeconfig leads elsewhere."""
        containers = await self.containers()
        await check_kubeconfig(self._docker, containers, self._rules, self.name)
        return self._nodes(containers)

    async def logs(self, process: str, *, follow: bool = False, tail: int = 0) -> AsyncGenerator[bytes]:
        container = self._named(await self.containers(), process)
        options = [*(["--follow"] if follow else []), "--tail", str(tail) if tail else "all"]
        async with aclosing(self._docker.chunks("logs", *options, container.id)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def act(self, process: str, action: Action) -> Process:
        containers = await self.containers()
        container = self._named(containers, process)
        await ComposeActions(self._docker, self._until).act(action, container, containers)
        containers = await self.containers()
        await self._cuts.renew(containers)
        return self._named(containers, process).process()

    async def setting(self, component: str, key: str) -> str | None:
        container = next((c for c in await self.containers() if c.identity.component == component), None)
        return None if container is None else flag(container.command, key)

    async def partition(self, *partitions: Partition) -> None:
        await self._cuts.add(await self.containers(), *partitions)

    async def heal(self, *partitions: Partition) -> None:
        await self._cuts.heal(await self.containers(), *partitions)

    async def partitions(self) -> Sequence[Partition]:
        containers = await self.containers()
        await self._cuts.renew(containers)  # rules end with a container that docker, or a person, has restarted
        return self._cuts.list(containers)

    async def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> CommandOutput:
        machine = await self._machine(node)
        limited = ("timeout", "--signal=KILL", f"{timeout:g}", *argv)  # what runs inside ends although we are gone
        return await self._docker.run("exec", "--interactive", machine.id, *limited, stdin=stdin, timeout=timeout + 5)

    async def open_tunnel(self, node: str, address: str, local_port: int = 0) -> ClusterTunnel:
        """As the seam says; a node whose published ports are all taken is helped out by another one."""
        machine = await (self._machine(node) if node else self._any_machine())
        if local_port:
            return await self._open(machine, address, _inside(machine, local_port))
        others = [m for m in self._machines(await self.containers()) if m.id != machine.id]
        for each in (machine, *others):
            try:
                return await self._open(each, address, 0)
            except errors.TooManyRequests:
                continue
        raise errors.TooManyRequests(
            "every port for tunnels is taken on every node; start a node anew to free its ports"
        )

    async def _open(self, machine: ComposeContainer, address: str, inside: int) -> ClusterTunnel:
        request = pb.OpenTunnelRequest(address=address, local_port=inside)
        return _tunnel(machine, await self._agent(machine).unary(OPEN_TUNNEL, request, timeout=CALL_SECONDS))

    async def close_tunnel(self, local_port: int) -> None:
        for machine in self._machines(await self.containers()):
            if local_port in machine.ports.values():
                request = pb.CloseTunnelRequest(local_port=_inside(machine, local_port))
                await self._agent(machine).unary(CLOSE_TUNNEL, request, timeout=CALL_SECONDS)

    async def tunnels(self) -> Sequence[ClusterTunnel]:
        machines = self._machines(await self.containers())
        calls = [self._agent(m).unary(LIST_TUNNELS, pb.ListTunnelsRequest(), timeout=CALL_SECONDS) for m in machines]
        answers = await asyncio.gather(*calls)
        return [
            _tunnel(machine, tunnel)
            for machine, answer in zip(machines, answers, strict=True)
            for tunnel in answer.tunnels
        ]

    async def runtime_channel(self, node: str = "") -> grpc.aio.Channel:
        return self._channel(await self._machine(node), str(RUNTIME_SOCKET))

    async def close(self) -> None:
        for agent in self._agents.values():
            await agent.close()
        self._relays.close()

    def _nodes(self, containers: Sequence[ComposeContainer]) -> list[ClusterNode]:
        host = ("--host", self._record.docker_host) if self._record.docker_host else ()
        return reading.nodes(containers, ("docker", *host, "exec", "--interactive"))

    async def _any_machine(self) -> ComposeContainer:
        """The first node that runs; Unavailable when none does."""
        machines = self._machines(await self.containers())
        if not machines:
            raise errors.Unavailable("no node runs")
        return machines[0]

    async def _machine(self, node: str) -> ComposeContainer:
        """The container that is a node, the first one by default. NotFound, or Unavailable when it does not run."""
        containers = await self.containers()
        names = [info.name for info in self._nodes(containers)]
        machine = reading.machine(containers, node or next(iter(names), ""))
        if machine is None:
            raise errors.NotFound(f'nodes "{node}" not found; there are: {", ".join(names)}')
        if machine.status != "running":
            raise errors.Unavailable(
                f"{machine.identity.node} does not answer: {machine.name} is {machine.state.value}"
            )
        return machine

    def _machines(self, containers: Sequence[ComposeContainer]) -> list[ComposeContainer]:
        return [
            c for c in reading.ordered(containers) if c.identity.component == reading.MACHINE and c.status == "running"
        ]

    def _named(self, containers: Sequence[ComposeContainer], process: str) -> ComposeContainer:
        container = next((c for c in containers if c.name == process and c.service != reading.PKI), None)
        if container is None:
            raise errors.not_found("processes", process)
        return container

    def _channel(self, machine: ComposeContainer, path: str) -> grpc.aio.Channel:
        return self._relays.channel(("docker", "exec", "--interactive", machine.id, *RELAY, path))

    def _agent(self, machine: ComposeContainer) -> Connections:
        if machine.id not in self._agents:
            self._agents[machine.id] = Connections(
                [machine.identity.node],
                lambda _: self._channel(machine, str(AGENT_SOCKET)),
                caller=self._caller,
                clock=self._clock,
            )
        return self._agents[machine.id]

    async def _look(self) -> list[ComposeContainer]:
        """Every container now. Starting and unhealthy ones are checked again, as docker does every few seconds."""
        containers = await inspect(self._docker, self._record.project)
        return list(await asyncio.gather(*(self._with_health(container) for container in containers)))

    async def _with_health(self, container: ComposeContainer) -> ComposeContainer:
        if not _in_doubt(container):
            return container
        words = ("exec", container.id, *container.health_test)
        try:
            healthy = (await self._docker.run(*words, timeout=CALL_SECONDS)).code == 0
        except errors.Timeout:
            healthy = False
        return replace(container, health="healthy") if healthy else container

    async def _looks(self) -> AsyncGenerator[list[ComposeContainer]]:
        """Every container now, at each event of docker, and from time to time for changes that have no event."""
        containers = await self.containers()
        yield containers

        def pause() -> float | None:
            if any(map(_in_doubt, containers)):
                return HEALTH_SECONDS
            return LEADER_SECONDS if sum(c.identity.component == "etcd" for c in containers) > 1 else None

        async with (
            aclosing(self._events()) as events,
            aclosing(_at_least_every(pause, events, self._clock)) as moments,
        ):
            async for _ in moments:
                containers = await self._look()
                yield containers
        raise errors.Unavailable("docker ended its stream of events: its daemon went away")

    def _events(self) -> AsyncGenerator[bytes]:
        since = str(int(self._clock.time()) - REPLAY_SECONDS)
        filters = [f"label={PROJECT}={self._record.project}", "type=container", *(f"event={e}" for e in EVENTS)]
        options = [word for each in filters for word in ("--filter", each)]
        return self._docker.chunks("events", "--since", since, "--format", "{{.Action}}", *options)

    async def _until(self, true: Callable[[list[ComposeContainer]], bool], seconds: float) -> bool:
        """Wait until something is true of the containers; False when it is not within so many seconds."""
        try:
            async with self._clock.timeout(seconds), aclosing(self._looks()) as looks:
                async for containers in looks:
                    if true(containers):
                        return True
        except TimeoutError:
            return False
        return False


async def inspect(docker: Docker, project: str) -> list[ComposeContainer]:
    """Look at every container of a project, those that do not run too. One that goes meanwhile is left out."""
    listed = await docker.call(
        *("ps", "--all", "--quiet", "--no-trunc"),
        *("--filter", f"label={PROJECT}={project}", "--filter", f"label={ONE_OFF}=False"),
    )
    ids = listed.decode().split()
    return [reading.read(body) for body in await docker.inspect(ids)] if ids else []


def _in_doubt(container: ComposeContainer) -> bool:
    return container.status == "running" and container.state is not ProcessState.RUNNING and bool(container.health_test)


def _inside(machine: ComposeContainer, local_port: int) -> int:
    """Return the node's port that is published at a port of 127.0.0.1. BadRequest when none is."""
    inside_port = next((port for port, outside in machine.ports.items() if outside == local_port), None)
    if inside_port is None:
        ports = ", ".join(str(port) for port in sorted(machine.ports.values()))
        raise errors.BadRequest(f"port {local_port}: tunnels of {machine.identity.node} have the ports {ports}")
    return int(inside_port.partition("/")[0])


def _tunnel(machine: ComposeContainer, tunnel: pb.Tunnel) -> ClusterTunnel:
    outside = machine.ports.get(f"{tunnel.local_port}/tcp")
    if outside is None:
        raise errors.InternalError(f"{machine.service} does not publish its port {tunnel.local_port}")
    return ClusterTunnel(outside, machine.identity.node, tunnel.address)


async def _at_least_every(
    pause: Callable[[], float | None], heard: AsyncGenerator[bytes], clock: Clock
) -> AsyncGenerator[None]:
    """Yield at everything that is heard, and when nothing was for a while; ends with what is listened to."""
    pending = asyncio.ensure_future(anext(heard))
    try:
        while True:
            try:
                async with clock.timeout(pause()):
                    await asyncio.shield(pending)
            except TimeoutError:
                yield
                continue
            except StopAsyncIteration:
                return
            pending = asyncio.ensure_future(anext(heard))
            yield
    finally:
        pending.cancel()
        await asyncio.wait([pending])
