"""What a plugin is, and what it is asked.

Plugins are stateless and pure: they read one pod, one node and the cluster's indexes, and await nothing. A filter says
why a node will not do and which events could change that; a score prefers among the nodes that will.
The cycle's answer is made by :mod:`kubelab.scheduler.algorithm`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kubelab.scheduler.model import NodeInfo, PodInfo

MAX_SCORE = 100


class ClusterEvent(enum.Enum):
    """What happens in the cluster that could make an unschedulable pod schedulable."""

    NODE_ADDED = enum.auto()
    NODE_RESIZED = enum.auto()
    NODE_LABELED = enum.auto()
    NODE_TAINTED = enum.auto()
    """Taints or ``spec.unschedulable`` changed."""
    POD_GONE = enum.auto()
    """A pod that had a node was deleted or ended."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a node will not do. ``resolvable`` is False where not even an empty node would help (upstream's
    UnschedulableAndUnresolvable), which decides what is said about preemption."""

    plugin: str
    reasons: tuple[str, ...]
    retry_on: frozenset[ClusterEvent]
    resolvable: bool = False


class Cluster(Protocol):
    """The indexes that a plugin may ask, all kept up to date as pods and nodes come and go."""

    @property
    def tainted(self) -> int:
        """How many nodes have a NoSchedule or NoExecute taint."""
        ...

    @property
    def softly_tainted(self) -> int:
        """How many nodes have a PreferNoSchedule taint."""
        ...

    @property
    def cordoned(self) -> int:
        """How many nodes are unschedulable."""
        ...

    def siblings(self, pod: PodInfo) -> Mapping[str, int] | None:
        """Count, by node, the pods behind the pod's services and of its controller; None when it has neither."""
        ...


class FilterPlugin(Protocol):
    """Says no."""

    @property
    def name(self) -> str: ...

    def skip_filter(self, pod: PodInfo, cluster: Cluster) -> bool:
        """Say that no node can be rejected for this pod (upstream's PreFilter Skip)."""
        ...

    def filter(self, pod: PodInfo, node: NodeInfo) -> Rejection | None: ...


class ScorePlugin(Protocol):
    """Prefers. Scores are 0 to 100 and count ``weight`` times."""

    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> int: ...

    def skip_score(self, pod: PodInfo, cluster: Cluster) -> bool:
        """Say that every node would score the same."""
        ...

    def score(self, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        """Score all feasible nodes at once: what is normalised needs the others anyway."""
        ...
