"""The priorities of the system (https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/)."""

from __future__ import annotations

from collections.abc import Mapping

HIGHEST_USER_DEFINABLE = 1_000_000_000
SYSTEM_PREFIX = "system-"
SYSTEM: Mapping[str, int] = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""The classes that every cluster has, with their values."""
DESCRIPTIONS: Mapping[str, str] = {
    "system-cluster-critical": (
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."
    ),
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
}
