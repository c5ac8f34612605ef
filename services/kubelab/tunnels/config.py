"""The configuration of a local cluster's tunnels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kubelab.component.config import BaseConfig


@dataclass(kw_only=True)
class TunnelsConfig(BaseConfig):
    """``namespaces`` maps each node to its network namespace, a file."""

    socket: Path = Path("/run/kubelab/tunnels.sock")
    namespaces: dict[str, Path] = field(default_factory=dict[str, Path])
