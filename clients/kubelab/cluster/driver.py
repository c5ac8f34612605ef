"""A running cluster seen from outside: its processes, logs, tunnels and nodes.

``kubelab`` and experiments know only this; what the cluster is made of (processes of this machine, containers) is the
driver's business. Answers are the contract's own messages (``protos/kubelab/supervisor/v1``). Every call raises
``kubelab.apimachinery.errors``, or :class:`NotRunning`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Protocol

import grpc

from kubelab.supervisor.v1 import supervisor_pb2 as pb


class ClusterNotFound(Exception):
    """There is no cluster of that name."""


class NotRunning(Exception):
    """There is such a cluster, but nobody answers for it."""


class ClusterDriver(Protocol):
    """What can be asked of any cluster."""

    @property
    def name(self) -> str: ...

    @property
    def kubeconfig(self) -> Path:
        """The file whose context :attr:`name` leads to this cluster's api-servers."""
        ...

    async def status(self) -> pb.StatusResponse:
        """Look at every process, with what it uses, and at every node."""
        ...

    def watch_status(self) -> AsyncGenerator[pb.StatusResponse]:
        """Yield the status now and at every change."""
        ...

    async def nodes(self) -> Sequence[pb.NodeStatus]:
        """Name the nodes, the control plane's first."""
        ...

    def logs(self, process: str, *, follow: bool = False, tail: int = 0) -> AsyncGenerator[bytes]:
        """Yield what a process wrote, oldest first; the last ``tail`` lines, 0 for all."""
        ...

    async def act(self, process: str, action: pb.ActRequest.Action) -> pb.Process:
        """Kill, stop, start, restart, pause or resume a process; answers once the effect is there."""
        ...

    async def open_tunnel(self, node: str, address: str, local_port: int = 0) -> pb.Tunnel:
        """Lead a port of 127.0.0.1 to ``host:port`` as seen from a node; gives the one that is open already."""
        ...

    async def close_tunnel(self, local_port: int) -> None: ...

    async def tunnels(self) -> Sequence[pb.Tunnel]: ...

    async def runtime_channel(self, node: str = "") -> grpc.aio.Channel:
        """Open a channel to a node's container runtime, the first node's by default; close it."""
        ...

    async def close(self) -> None: ...
