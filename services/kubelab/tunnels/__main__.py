"""The tunnels of a local cluster: ports of 127.0.0.1 → network namespaces of nodes → control socket.

It lives in the machine's own network namespace and does nothing else, so nothing that happens to the supervisor, to a
component or to one connection holds it up. The supervisor opens the listening sockets and keeps them too: they outlive
this process, and this process outlives the supervisor.
"""

from __future__ import annotations

import sys

from kubelab.component.component import Component
from kubelab.component.environment import Environment
from kubelab.tunnels.config import TunnelsConfig
from kubelab.tunnels.control import Control
from kubelab.tunnels.model import HostNetwork, NetworkNamespace
from kubelab.tunnels.tunnels import Tunnels


async def run(config: TunnelsConfig, env: Environment) -> None:
    """Serve what the supervisor opens, until stopped."""
    nodes = {name: NetworkNamespace(path) for name, path in config.namespaces.items()}
    async with (
        Tunnels(HostNetwork(), nodes, env.clock, env.log) as tunnels,
        Control(tunnels, env.clock, env.log).serving(config.socket),
    ):
        env.log.info("serving", socket=str(config.socket), connections=tunnels.limiter.limits.total)
        await env.stop.wait()


COMPONENT = Component("tunnels", TunnelsConfig, run)

if __name__ == "__main__":
    sys.exit(COMPONENT.main())
