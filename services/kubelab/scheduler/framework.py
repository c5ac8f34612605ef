"""What a plugin is, and what it is asked.

Plugins are stateless and pure: they read one pod, one node and the cluster's indexes, and await nothing. What a plugin
finds out once for a pod it keeps in the cycle's state. A filter says
why a node will not do and which events could change that; a score prefers among the nodes that will.
The cycle's answer is made by :mod:`kubelab.scheduler.algorithm`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from kubelab.scheduler.clusterevents import ClusterEvent
from kubelab.scheduler.model import NodeInfo, PodInfo

MAX_SCORE = 100


class Skip(enum.Enum):
    """A plugin has nothing to say about this pod: its later points are not asked in this cycle."""

    SKIP = enum.auto()


SKIP = Skip.SKIP

CycleState = dict[str, Any]
"""What plugins keep for the rest of one pod's cycle, each under its own name."""


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

    def spread_counts(self, pod: PodInfo) -> Mapping[str, int] | None:
        """Count, by node, the pods behind the pod's services and of its controller; None when it has neither."""
        ...


class Plugin(Protocol):
    """A plugin extends every point whose methods it has. ``name`` is what a profile calls it."""

    @property
    def name(self) -> str: ...


@runtime_checkable
class FilterPlugin(Plugin, Protocol):
    """Extends PreFilter and Filter: says which nodes will not do."""

    def pre_filter(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | Rejection | None:
        """Prepare a cycle. SKIP: no node can be rejected for this pod. A rejection is every node's."""
        ...

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None: ...


@runtime_checkable
class PostFilterPlugin(Plugin, Protocol):
    """Extends PostFilter: looks at a pod that no node would take."""

    def post_filter(self, state: CycleState, pod: PodInfo, rejected: Sequence[Rejection], nodes: int) -> str:
        """Give what people should read about it beside the filters' reasons; ``nodes`` is how many there are."""
        ...


@runtime_checkable
class ScorePlugin(Plugin, Protocol):
    """Extends PreScore and Score: prefers. Scores are 0 to 100 and count ``weight`` times, or as a profile says."""

    @property
    def weight(self) -> int: ...

    def pre_score(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | None:
        """Prepare a cycle. SKIP: every node would score the same."""
        ...

    def score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], cluster: Cluster) -> list[int]:
        """Score all feasible nodes at once: what is normalised needs the others anyway."""
        ...


def histogram(counts: Mapping[str, int]) -> str:
    """Join reasons with their counts, in upstream's order: ``1 Insufficient cpu, 2 Too many pods``."""
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items() if count))
