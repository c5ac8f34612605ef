"""Which address of this node others reach it at."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

from kubelab.client.kubeconfig import Kubeconfig
from kubelab.component.config import ConfigError


def own_address(kubeconfig: Path | None) -> str:
    """Give the address from which this node would talk to its api-server. Nothing is sent. Raises ConfigError."""
    if kubeconfig is None:
        raise ConfigError("nodeIp: required value without a kubeconfig, expected an address")
    server = Kubeconfig.load(kubeconfig).access("").servers[0]
    target = urlsplit(server if "//" in server else f"//{server}")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((target.hostname or server, target.port or 6443))
            return probe.getsockname()[0]
    except OSError as err:
        raise ConfigError(f"nodeIp: no way to {server}: {err}; say which address this node has") from err
