"""The configuration of a node's machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kubelab.component.config import BaseConfig, ConfigError, Duration
from kubelab.topology.reservedports import TUNNELS


@dataclass(kw_only=True)
class NodeAgentConfig(BaseConfig):
    """``stateDir`` is the runtime's: the init ends the pods recorded there when the machine stops."""

    node_name: str = ""  # by default the host's name
    socket: Path = Path("/run/kubelab/agent.sock")
    launcher_socket: Path = Path("/run/kubelab/launcher.sock")
    state_dir: Path = Path("/var/lib/kubelab/runtime")
    tunnels_file: Path = Path("/run/kubelab-tunnels.json")  # of this machine alone, so not in a folder that is shared
    tunnel_address: str = "0.0.0.0"
    tunnel_ports: str = f"{TUNNELS[0]}-{TUNNELS[-1]}"  # outside of the node ports, 30000-32767; "" for any that is free
    grace_seconds: Duration = 5.0  # that containers have to end by themselves

    @property
    def ports(self) -> range:
        """The ports of tunnels; none when any will do. ConfigError."""
        if not self.tunnel_ports:
            return range(0)
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", self.tunnel_ports)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 0 < first <= last < 65536:
            raise ConfigError(f"tunnelPorts: {self.tunnel_ports!r}: expected a range of ports such as 29100-29107")
        return range(first, last + 1)
