"""Convert ``docker inspect`` of a project's containers to kubelab's types. Pure.

::

    service            process                        node
    etcd, etcd-2       etcd@cp-1, etcd@cp-2           a part of cp-1, cp-2; so are api-server, scheduler, …
    kubelet-2          kubelet@node-2                 shares the namespaces of node-2
    node-2             node-agent@node-2              the machine itself: stopping it stops the node
    haproxy            haproxy                        none
    pki                -                              has ended when it has done its work
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, cast

from kubelab.cluster.driver import ClusterNode, Process, ProcessState
from kubelab.topology.partitions import NetworkPlace, Topology

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
ONE_OFF, DIRECTORY = "com.docker.compose.oneoff", "com.docker.compose.project.working_dir"
FILES, COMPOSE_VERSION = "com.docker.compose.project.config_files", "com.docker.compose.version"
CONTROL_PLANE = ("etcd", "api-server", "scheduler", "controller-manager")
ON_NODES = ("kubelet", "kube-proxy", "runtime")
MACHINE = "node-agent"
PKI = "pki"
HOME = PurePosixPath("/var/lib/kubelab")  # of a node, in its containers
RUNTIME_SOCKET, AGENT_SOCKET = HOME / "run" / "runtime.sock", HOME / "run" / "agent.sock"
IMAGES = HOME / "images"
API_PORT, HTTPS_PORT = "6443/tcp", "8443/tcp"
KILLED = 128  # exit codes above it are a signal's


@dataclass(frozen=True, slots=True)
class ContainerIdentity:
    """The process of the cluster that a container runs."""

    component: str
    node: str = ""

    @property
    def name(self) -> str:
        return f"{self.component}@{self.node}" if self.node else self.component


def identify(service: str) -> ContainerIdentity:
    """Return the process that a service's name stands for."""
    match = re.fullmatch(r"(.+?)(?:-(\d+))?", service)
    kind, number = (match[1], match[2]) if match else (service, None)
    if kind in CONTROL_PLANE:
        return ContainerIdentity(kind, f"cp-{number or 1}")
    if kind in ON_NODES and number:
        return ContainerIdentity(kind, f"node-{number}")
    if kind == "node" and number:
        return ContainerIdentity(MACHINE, service)
    return ContainerIdentity(service)


@dataclass(frozen=True, slots=True)
class ComposeContainer:
    """A container of the project. ``ports`` are published ones: ``6443/tcp`` → a port of 127.0.0.1."""

    id: str
    service: str
    identity: ContainerIdentity
    status: str
    health: str
    health_test: tuple[str, ...]  # the command that asks it
    command: tuple[str, ...]
    pid: int
    since: float
    restarts: int
    exit_code: int
    error: str
    image: str
    network_of: str  # the id of the container whose network it shares, or its own
    address: str
    mac: str
    ports: Mapping[str, int]
    volumes: Mapping[str, str]  # where → which
    labels: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def runs(self) -> bool:
        return self.status in ("running", "paused")

    @property
    def state(self) -> ProcessState:
        if self.status == "paused":
            return ProcessState.PAUSED
        if self.status == "restarting":
            return ProcessState.BACK_OFF
        if self.status != "running":
            return ProcessState.STOPPED
        return {"starting": ProcessState.STARTING, "unhealthy": ProcessState.UNHEALTHY}.get(
            self.health, ProcessState.RUNNING
        )

    @property
    def message(self) -> str:
        """The reason why it does not run, or its last exit."""
        if self.runs:
            return ""
        if self.error:
            return self.error
        if self.exit_code > KILLED:
            return f"killed by signal {self.exit_code - KILLED}"
        return f"exited with code {self.exit_code}" if self.status != "created" else "never started"

    def volume_at(self, path: PurePosixPath) -> str:
        """The volume that holds a path; empty when none does."""
        inside = [place for place in self.volumes if path.is_relative_to(place)]
        return self.volumes[max(inside, key=len)] if inside else ""

    def process(self) -> Process:
        """The same as the driver says it, without what it uses."""
        return Process(
            name=self.name,
            component=self.identity.component,
            node=self.identity.node,
            pid=self.pid,
            since=self.since if self.runs else 0.0,
            restarts=self.restarts,
            state=self.state,
            message=self.message,
        )


def read(body: Mapping[str, Any]) -> ComposeContainer:
    """Read one document of ``docker inspect`` (API 1.41 and newer)."""
    state, config, host = body["State"], body["Config"], body["HostConfig"]
    labels = cast(dict[str, str], config.get("Labels") or {})
    service = labels.get(SERVICE) or str(body["Name"]).lstrip("/")
    mode = str(host.get("NetworkMode") or "")
    network = next((n for n in _networks(body) if n.get("IPAddress")), {})
    return ComposeContainer(
        id=str(body["Id"]),
        service=service,
        identity=identify(service),
        status="paused" if state.get("Paused") else str(state["Status"]),
        health=str((state.get("Health") or {}).get("Status") or ""),
        health_test=_test(cast(list[str], (config.get("Healthcheck") or {}).get("Test") or [])),
        command=tuple(config.get("Cmd") or ()),
        pid=int(state.get("Pid") or 0),
        since=_time(str(state.get("StartedAt") or "")),
        restarts=int(body.get("RestartCount") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        error=str(state.get("Error") or ""),
        image=str(body["Image"]),
        network_of=mode.partition(":")[2] if mode.startswith("container:") else str(body["Id"]),
        address=str(network.get("IPAddress") or ""),
        mac=str(network.get("MacAddress") or ""),
        ports=_ports(cast(dict[str, Any], body["NetworkSettings"].get("Ports") or {})),
        volumes={str(m["Destination"]): str(m["Name"]) for m in body.get("Mounts") or [] if m.get("Type") == "volume"},
        labels=labels,
    )


def _test(command: Sequence[str]) -> tuple[str, ...]:
    """``[CMD, healthy, …]`` or ``[CMD-SHELL, line]`` as a command; empty where there is none."""
    match [*command]:
        case ["CMD", *words]:
            return tuple(words)
        case ["CMD-SHELL", line]:
            return ("/bin/sh", "-c", line)
        case _:
            return ()


def _networks(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(cast(dict[str, dict[str, Any]], body["NetworkSettings"].get("Networks") or {}).values())


def _ports(body: Mapping[str, Any]) -> dict[str, int]:
    return {port: int(bound[0]["HostPort"]) for port, bound in body.items() if bound}


def _time(text: str) -> float:
    """Docker's RFC 3339 as seconds since the epoch; 0 for the year 1, which means never."""
    if not text or text.startswith("0001-"):
        return 0.0
    return datetime.fromisoformat(text).timestamp()


_ORDER = {name: n for n, name in enumerate((*CONTROL_PLANE, MACHINE, "runtime", "kubelet", "kube-proxy"))}


def ordered(containers: Sequence[ComposeContainer]) -> list[ComposeContainer]:
    """The cluster's processes: control planes first, then the nodes, each in the order of their start; no ``pki``."""

    def rank(container: ComposeContainer) -> tuple[bool, bool, int, str, int, str]:
        node, number = container.identity.node, container.identity.node.rpartition("-")[2]
        worker = node.startswith("node-")
        order = _ORDER.get(container.identity.component, len(_ORDER))
        return not node, worker, int(number) if number.isdigit() else 0, node, order, container.name

    return sorted((c for c in containers if c.service != PKI), key=rank)


def machine(containers: Sequence[ComposeContainer], node: str) -> ComposeContainer | None:
    """The container that is a node."""
    return next((c for c in containers if c.name == f"{MACHINE}@{node}"), None)


def nodes(containers: Sequence[ComposeContainer], enter: Sequence[str]) -> list[ClusterNode]:
    """The nodes that pods run on, by number. ``enter`` are the words before a container's id."""
    return [
        ClusterNode(
            name=c.identity.node,
            address=c.address,
            netns=Path(f"/proc/{c.pid}/ns/net"),
            runtime_socket=Path(RUNTIME_SOCKET),
            enter=(*enter, c.id),
            image_store=c.volume_at(IMAGES) or c.id,
        )
        for c in ordered(containers)
        if c.identity.component == MACHINE
    ]


def topology(containers: Sequence[ComposeContainer]) -> Topology:
    """Return the places of all running processes; a place has the id of the container that owns its namespace."""
    running = {c.id: c for c in containers if c.runs and c.address}
    places = {c.id: NetworkPlace(c.id, c.address, c.mac) for c in running.values()}
    processes = {c.name: places[c.network_of] for c in ordered(containers) if c.runs and c.network_of in places}
    of_nodes: dict[str, dict[str, NetworkPlace]] = {}
    for container in containers:
        node = container.identity.node or container.name  # what belongs to no node is a place of its own
        if place := processes.get(container.name):
            of_nodes.setdefault(node, {})[place.name] = place
    return Topology({node: tuple(node_places.values()) for node, node_places in of_nodes.items()}, processes)


def api_servers(containers: Sequence[ComposeContainer]) -> tuple[str, ...]:
    """Return where the api-servers speak gRPC on this machine, as URLs, the load balancer first."""
    return _published(containers, API_PORT)


def https_servers(containers: Sequence[ComposeContainer]) -> tuple[str, ...]:
    """Return the URLs of the api-servers' REST API on this machine, the load balancer first."""
    return _published(containers, HTTPS_PORT)


def _published(containers: Sequence[ComposeContainer], port: str) -> tuple[str, ...]:
    order = ("haproxy", "api-server")
    serving = [c for c in ordered(containers) if c.identity.component in order and port in c.ports]
    serving.sort(key=lambda c: order.index(c.identity.component))
    return tuple(f"https://127.0.0.1:{c.ports[port]}" for c in serving)
