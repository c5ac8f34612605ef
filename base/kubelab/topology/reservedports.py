"""The TCP ports of a node's own processes: no pod or service may take over their connections.

The api-server refuses them as host ports and node ports, the scheduler and the kubelet refuse pods that ask
for them, the runtime does not open them, and kube-proxy does not forward them from a node's own addresses. They are
reserved on every node, with or without those processes: a pod that is valid does not depend on where it lands, and a
node can become a control plane. Upstream lets such pods conflict with its own components.
"""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.topology.components import PORTS

METRICS_PORT = 6444  # of an api-server in a container, for its load balancer's checks
TUNNELS = range(29100, 29108)  # of a node's agent, where a node is a container: the ports that lead into it

RESERVED: Mapping[int, str] = {
    **{port: component for component, ports in PORTS.items() for port in ports},
    METRICS_PORT: "api-server",
    **dict.fromkeys(TUNNELS, "node-agent"),
}


def owner(port: int, protocol: str = "TCP") -> str:
    """Name the component of a node that a port belongs to; "" when it is anybody's."""
    return RESERVED.get(port, "") if (protocol or "TCP").upper() == "TCP" else ""
