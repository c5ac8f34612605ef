"""The extension points of a pod's scheduling and binding cycle, after upstream's ``framework/interface.go``.

::

    on its way into the queue                   PreEnqueue
    scheduling cycle, one pod at a time         PreFilter ▶ Filter ▶ (PostFilter) ▶ PreScore ▶ Score ▶ Reserve ▶ Permit
    binding cycle, beside the next decisions    (wait for Permit) ▶ PreBind ▶ Bind ▶ PostBind

The methods of the scheduling cycle await nothing, so that the cache is its own snapshot; PreBind and Bind may. The
plugins up to Score are pure: they read one pod, one node and the cluster's indexes. What a plugin finds out for its
later points it keeps in the cycle's state. The node is chosen by :mod:`kubelab.scheduler.algorithm`; what follows is
run by :mod:`kubelab.scheduler.scheduler`.

https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery.errors import ApiError
from kubelab.scheduler.clusterevents import ClusterEvent
from kubelab.scheduler.model import NodeInfo, PodInfo
from kubelab.scheduler.namespaces import NamespaceLabels
from kubelab.scheduler.podindex import PodIndex
from kubelab.scheduler.topology import Topology
from kubelab.scheduler.workloads import WorkloadSelectors

MAX_SCORE = 100


class Skip(enum.Enum):
    """A plugin does not care for this pod: its Filter or Score is left out, or the next Bind plugin binds."""

    SKIP = enum.auto()


SKIP = Skip.SKIP


class CycleState(dict[str, Any]):
    """What plugins keep for the rest of one pod's cycle, each under its own name."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a node, or the one chosen node, will not do. The pod is tried again at the events ``retry_on``.

    ``resolvable`` is False where not even an empty node would help (upstream's UnschedulableAndUnresolvable), which
    decides what is said about preemption.
    """

    plugin: str
    reasons: tuple[str, ...]
    retry_on: frozenset[ClusterEvent]
    resolvable: bool = False


@dataclass(frozen=True, slots=True)
class OnlyNodes:
    """PreFilter knows the only nodes, by name, that could do; the filters look at no others.

    ``retry_on`` are the events at which a node of such a name may come up.
    """

    names: frozenset[str]
    retry_on: frozenset[ClusterEvent]


@dataclass(frozen=True, slots=True)
class Wait:
    """A Permit plugin lets the pod wait for its ``WaitingPod.allow``, so many seconds at most (and 15 minutes).

    When they are over, the pod counts as rejected and is tried again at the events ``retry_on``.
    """

    seconds: float
    retry_on: frozenset[ClusterEvent] = frozenset()


@dataclass(frozen=True, slots=True)
class PluginError:
    """A PreBind or Bind plugin failed: the pod is tried again after its back-off."""

    point: str
    plugin: str
    error: ApiError

    @property
    def message(self) -> str:
        """What people read, in upstream's words."""
        return f'running {self.point} plugin "{self.plugin}": {self.error.message}'


@dataclass(frozen=True, slots=True)
class Nomination:
    """Room can be made for the pod on a node, when the victims go. ``node`` is empty where it cannot: a node that the
    pod was nominated for before is given up, and ``message`` is what people read."""

    node: str = ""
    victims: tuple[PodInfo, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """What PostFilter is asked about: each node's rejection, the cluster, and whether the pod would fit a node as the
    cluster is at the moment of asking."""

    rejected: Mapping[str, Rejection]
    cache: Hypothetical
    fits: Callable[[NodeInfo], bool]


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

    @property
    def nodes(self) -> Sequence[NodeInfo]:
        """The nodes that exist."""
        ...

    @property
    def image_nodes(self) -> Mapping[str, int]:
        """How many nodes have an image, by each of its names; 0 or missing: none."""
        ...

    @property
    def topology(self) -> Topology:
        """The nodes' domains."""
        ...

    @property
    def pods(self) -> PodIndex:
        """The placed pods, by selectors and by their terms."""
        ...

    @property
    def workloads(self) -> WorkloadSelectors:
        """What services and controllers select."""
        ...

    @property
    def namespaces(self) -> NamespaceLabels: ...


class Hypothetical(Protocol):
    """The cluster as PostFilter may imagine it: pods that are lifted do not count until they are lowered again."""

    @property
    def budgets(self) -> Mapping[str, policy_pb2.PodDisruptionBudget]: ...

    def node(self, name: str) -> NodeInfo | None: ...

    def nominated_node(self, uid: str) -> NodeInfo | None: ...

    def lift(self, pod: PodInfo, node: str) -> None: ...

    def lower(self, pod: PodInfo, node: str) -> None: ...


class Plugin(Protocol):
    """A plugin extends every point whose methods it has. ``name`` is what a profile calls it."""

    @property
    def name(self) -> str: ...


@runtime_checkable
class PreEnqueuePlugin(Plugin, Protocol):
    """Extends PreEnqueue: keeps a pod out of the active queue until the pod itself changes."""

    def pre_enqueue(self, pod: PodInfo) -> bool:
        """Say whether the pod may be scheduled."""
        ...


@runtime_checkable
class FilterPlugin(Plugin, Protocol):
    """Extends PreFilter and Filter: says which nodes will not do."""

    def pre_filter(self, state: CycleState, pod: PodInfo, cluster: Cluster) -> Skip | OnlyNodes | Rejection | None:
        """Prepare a cycle. SKIP: no node can be rejected for this pod. A rejection is every node's."""
        ...

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Rejection | None: ...


@runtime_checkable
class PostFilterPlugin(Plugin, Protocol):
    """Extends PostFilter: looks at a pod that no node would take."""

    def post_filter(self, state: CycleState, pod: PodInfo, failure: Unschedulable) -> str | Nomination:
        """Give what people should read about it beside the filters' reasons, or on which node room can be made."""
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


@runtime_checkable
class ReservePlugin(Plugin, Protocol):
    """Extends Reserve: keeps what the pod will need on its node before the next pod is looked at."""

    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Rejection | None:
        """Reserve; a rejection ends the cycle."""
        ...

    def unreserve(self, state: CycleState, pod: PodInfo, node: str) -> None:
        """Take it back: the pod was not bound. Called for every Reserve plugin, in reverse order, also when its own
        ``reserve`` rejected or was not called; it must not raise."""
        ...


@runtime_checkable
class PermitPlugin(Plugin, Protocol):
    """Extends Permit: approves (None), rejects, or lets the pod wait before it is bound."""

    def permit(self, state: CycleState, pod: PodInfo, node: str) -> Rejection | Wait | None: ...


@runtime_checkable
class PreBindPlugin(Plugin, Protocol):
    """Extends PreBind: does what must be done before the pod is bound."""

    async def pre_bind(self, state: CycleState, pod: PodInfo, node: str) -> Rejection | None:
        """Prepare the binding. Raises ApiError, after which the pod is tried again."""
        ...


@runtime_checkable
class BindPlugin(Plugin, Protocol):
    """Extends Bind: writes the pod's node."""

    async def bind(self, state: CycleState, pod: PodInfo, node: str) -> Skip | None:
        """Bind, or SKIP to leave it to the next Bind plugin. Raises ApiError: NotFound when the pod is gone."""
        ...


@runtime_checkable
class PostBindPlugin(Plugin, Protocol):
    """Extends PostBind: takes note of a pod that is bound."""

    def post_bind(self, state: CycleState, pod: PodInfo, node: str) -> None: ...


def histogram(counts: Mapping[str, int]) -> str:
    """Join reasons with their counts, in upstream's order: ``1 Insufficient cpu, 2 Too many pods``."""
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items() if count))
