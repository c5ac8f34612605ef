"""A running cluster seen from outside: its processes, logs, tunnels and nodes.

``kubelab`` and experiments use only this interface; a driver knows what the cluster consists of (processes of this
machine, or containers). Every call raises ``kubelab.apimachinery.errors``.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc

from kubelab.client.kubeconfig import Kubeconfig
from kubelab.topology.partitions import Partition


class ProcessState(enum.Enum):
    """The state of a process."""

    UNKNOWN = "Unknown"
    WAITING = "Waiting"
    STARTING = "Starting"
    RUNNING = "Running"
    UNHEALTHY = "Unhealthy"
    BACK_OFF = "BackOff"
    STOPPED = "Stopped"
    PAUSED = "Paused"


class Action(enum.Enum):
    """An action on a process."""

    KILL = "kill"
    STOP = "stop"
    START = "start"
    RESTART = "restart"
    PAUSE = "pause"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Process:
    """One process, ``scheduler@cp-1``. ``since`` is in seconds since the epoch, 0 when it does not run."""

    name: str
    component: str
    node: str
    pid: int
    since: float
    restarts: int
    state: ProcessState
    message: str = ""
    memory_bytes: int = 0
    cpu_seconds: float = 0.0
    leader: bool = False  # of etcd's members; the leaders of the others are in their Leases


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """One node. ``netns`` is its network namespace as a file, ``runtime_socket`` its container runtime's socket.

    ``enter`` are the words that run what follows them in the node, with this terminal. Nodes with the same
    ``image_store`` share their images.
    """

    name: str
    address: str
    netns: Path
    runtime_socket: Path
    control_plane: bool = False
    enter: tuple[str, ...] = ()
    image_store: str = ""


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """Everything that runs, as of one moment."""

    cluster: str
    processes: tuple[Process, ...]
    nodes: tuple[ClusterNode, ...]


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """The output of a command, and its exit code."""

    code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class ClusterTunnel:
    """``local_port`` of 127.0.0.1 leads to ``address`` (host:port) as seen from ``node``; without one, from any."""

    local_port: int
    node: str
    address: str


class ClusterDriver(Protocol):
    """The interface of every cluster."""

    name: str

    @property
    def kubeconfig(self) -> Kubeconfig:
        """The user's kubeconfig, whose context ``name`` leads to this cluster's api-servers. Raises KubeconfigError."""
        ...

    async def status(self) -> ClusterStatus:
        """Look at every process, with what it uses."""
        ...

    def watch_status(self) -> AsyncGenerator[ClusterStatus]:
        """Yield the status now and at every change."""
        ...

    async def nodes(self) -> Sequence[ClusterNode]:
        """Name the nodes, the control plane's first."""
        ...

    def logs(self, process: str, *, follow: bool = False, tail: int = 0) -> AsyncGenerator[bytes]:
        """Yield what a process wrote, oldest first; the last ``tail`` lines, 0 for all."""
        ...

    async def act(self, process: str, action: Action) -> Process:
        """Act on a process; returns after the effect."""
        ...

    async def setting(self, component: str, key: str) -> str | None:
        """Return the user's setting (``nodeLifecycle.nodeMonitorGracePeriod``); None where it is the default."""
        ...

    async def partition(self, *partitions: Partition) -> None:
        """Cut sides off from each other, on connections that are open too; answers once the rules are in place.

        NotFound for a side that is not there. One that is in place already stays.
        """
        ...

    async def heal(self, *partitions: Partition) -> None:
        """Take partitions away, all of them where none is named; one that is not there is no error."""
        ...

    async def partitions(self) -> Sequence[Partition]:
        """Name what is cut off, in the order of being asked for."""
        ...

    async def run(self, node: str, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> CommandOutput:
        """Run a command in a node's network namespace, by the machine's own programs; Timeout when it is late."""
        ...

    async def open_tunnel(self, node: str, address: str, local_port: int = 0) -> ClusterTunnel:
        """Lead a port of 127.0.0.1 to an address inside; gives the one that is open already, if it is.

        With "" for the node, connections go in by any node that answers, and an address of one node's own stands for
        the same port of each.
        """
        ...

    async def close_tunnel(self, local_port: int) -> None: ...

    async def tunnels(self) -> Sequence[ClusterTunnel]: ...

    async def runtime_channel(self, node: str = "") -> grpc.aio.Channel:
        """Open a channel to a node's container runtime, the first node's by default; close it."""
        ...

    async def close(self) -> None: ...
