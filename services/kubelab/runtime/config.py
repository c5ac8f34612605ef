"""The configuration of the embedded container runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from kubelab.component.config import BaseConfig, Range


@dataclass(kw_only=True)
class RuntimeConfig(BaseConfig):
    """One runtime per node. ``storeDir`` may be shared by the nodes of one machine, ``stateDir`` may not."""

    socket: Path = Path("/run/kubelab/runtime.sock")
    state_dir: Path = Path("/var/lib/kubelab/runtime")
    store_dir: Path = Path("/var/lib/kubelab/images")
    crun: str = "crun"
    # One image may not take more, unpacked; what a load or a pull goes beyond is refused, and nothing of it stays.
    max_image_bytes: Annotated[int, Range(1, 2**50)] = 32 << 30
    max_image_files: Annotated[int, Range(1, 10**9)] = 1_000_000
    max_image_depth: Annotated[int, Range(1, 1024)] = 256  # folders above a file
    max_layer_growth: Annotated[int, Range(1, 10**6)] = 250  # times its compressed size, of a layer of more than 1 GiB
    # The node's group in the machine's control groups, below the one that the launcher is in; "" is after the state's
    # folder.
    cgroup: str = ""
    # A launcher that listens: the runtime forks none, and pods live where that one is. It has to see the same pids, and
    # the folders above at the same paths.
    launcher_socket: Path | None = None
