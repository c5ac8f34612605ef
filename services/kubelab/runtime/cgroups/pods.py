"""Where a pod's groups are, and with which limits: requests to the launcher, made of what the kubelet asks for. Pure.

The kubelet names a pod's group (``cgroup_parent``), with the quality of service above it, as upstream's cgroupfs driver
does. A burstable pod has its part of what all burstable pods have; one that asks for nothing has what is left over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.cgroups import limits
from kubelab.runtime.cgroups.limits import LimitError
from kubelab.runtime.cgroups.machine import Offer

TOP, BURSTABLE, BEST_EFFORT = "kubepods", "burstable", "besteffort"
PAUSE, BUILD = "pause", "build"
BUILD_PIDS = 4096
MIN_SHARES, MAX_SHARES = 2, 262_144
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
Level = tuple[str, dict[str, int]]


def place(config: cri.PodSandboxConfig) -> str:
    """A pod's group below the node's: ``kubepods/burstable/pod<uid>``. Raises LimitError for what is no such path."""
    path = config.linux.cgroup_parent.strip("/") or f"{TOP}/pod{re.sub('[^A-Za-z0-9_.-]', '_', config.metadata.uid)}"
    parts = path.split("/")
    inside = len(parts) in (2, 3) and parts[0] == TOP and parts[-1].startswith("pod")
    if not inside or not all(_PART.fullmatch(part) for part in parts):
        raise LimitError(f"cgroup_parent: {path!r} is no group of a pod: {TOP}[/{BURSTABLE}|/{BEST_EFFORT}]/pod<uid>")
    return path


def of_sandbox(offer: Offer, config: cri.PodSandboxConfig, others: Iterable[cri.PodSandboxConfig]) -> dict[str, Any]:
    """A pod's own group with its limits, and in it the one of the process that holds its namespaces; ``others`` are the
    node's other pods. Raises LimitError."""
    *above, leaf = place(config).split("/")
    levels: list[Level] = [(name, {}) for name in above]
    if above[-1] == BURSTABLE:
        levels[-1] = (BURSTABLE, {"cpu_shares": _together([config, *others])})
    elif above[-1] == BEST_EFFORT:
        levels[-1] = (BEST_EFFORT, {"cpu_shares": MIN_SHARES})
    of_pod = limits.of(config.linux.resources) if config.linux.HasField("resources") else {}
    return {"offer": offer.as_json(), "levels": [*levels, (leaf, of_pod), (PAUSE, {})]}


def of_container(offer: Offer, pod: cri.PodSandboxConfig, name: str, config: cri.ContainerConfig) -> dict[str, Any]:
    """A container's group with its limits. Raises LimitError."""
    above: list[Level] = [(part, {}) for part in place(pod).split("/")]
    return {"offer": offer.as_json(), "levels": [*above, (name, limits.of(config.linux.resources))]}


def of_pod(offer: Offer, config: cri.PodSandboxConfig) -> dict[str, Any]:
    """A pod's group, to be taken away."""
    return {"offer": offer.as_json(), "levels": [(part, {}) for part in place(config).split("/")]}


def of_build(offer: Offer, name: str) -> dict[str, Any]:
    """The group of one step of an image's build: it has no more processes than a pod has by default."""
    return {"offer": offer.as_json(), "levels": [(BUILD, {}), (name, {"pids": BUILD_PIDS})]}


def _together(pods: Iterable[cri.PodSandboxConfig]) -> int:
    """What all burstable pods ask for."""
    burstable = [pod for pod in pods if f"/{BURSTABLE}/" in pod.linux.cgroup_parent]
    return min(max(sum(pod.linux.resources.cpu_shares for pod in burstable), MIN_SHARES), MAX_SHARES)
