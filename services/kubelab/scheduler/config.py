"""The configuration of the scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from kubelab.component.config import BaseConfig, Duration, Parallelism, Period, Range
from kubelab.component.leading import LeaderElectionConfig


@dataclass(kw_only=True)
class PluginConfig:
    """One plugin, and how much its scores count; 0: its own weight."""

    name: str
    weight: Annotated[int, Range(0, 100)] = 0


@dataclass(kw_only=True)
class PluginSet:
    """What one extension point enables, and which of the defaults it leaves out; ``*`` is all."""

    enabled: list[PluginConfig] = field(default_factory=list[PluginConfig])
    disabled: list[PluginConfig] = field(default_factory=list[PluginConfig])


@dataclass(kw_only=True)
class Plugins:
    """The extension points. A plugin's PreFilter comes with its Filter, its PreScore with its Score."""

    pre_enqueue: PluginSet = field(default_factory=PluginSet)
    filter: PluginSet = field(default_factory=PluginSet)
    post_filter: PluginSet = field(default_factory=PluginSet)
    score: PluginSet = field(default_factory=PluginSet)
    reserve: PluginSet = field(default_factory=PluginSet)
    permit: PluginSet = field(default_factory=PluginSet)
    pre_bind: PluginSet = field(default_factory=PluginSet)
    bind: PluginSet = field(default_factory=PluginSet)
    post_bind: PluginSet = field(default_factory=PluginSet)
    multi_point: PluginSet = field(default_factory=PluginSet)


@dataclass(kw_only=True)
class DefaultConstraint:
    """A topology spread constraint for pods that have none; its selector is that of their services and controller."""

    max_skew: Annotated[int, Range(1, 2**31 - 1)]
    topology_key: str
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]


@dataclass(kw_only=True)
class PluginArgs:
    """The arguments of the plugins that have some; each reads its own.

    InterPodAffinity: what a placed pod's required affinity to a pod is worth, and whether preferences of placed pods
    are left out where the pod has none. PodTopologySpread: ``System`` for upstream's constraints, or ``List``.
    """

    hard_pod_affinity_weight: Annotated[int, Range(0, 100)] = 1
    ignore_preferred_terms_of_existing_pods: bool = False
    defaulting_type: Literal["System", "List"] = "System"
    default_constraints: list[DefaultConstraint] = field(default_factory=list[DefaultConstraint])


ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "InterPodAffinity": ("hard_pod_affinity_weight", "ignore_preferred_terms_of_existing_pods"),
    "PodTopologySpread": ("defaulting_type", "default_constraints"),
}
"""Which arguments are which plugin's."""


@dataclass(kw_only=True)
class PluginArguments:
    """Which plugin gets which arguments."""

    name: str
    args: PluginArgs = field(default_factory=PluginArgs)


@dataclass(kw_only=True)
class Profile:
    """Which plugins decide about the pods with this ``schedulerName``."""

    scheduler_name: str = "default-scheduler"
    plugins: Plugins = field(default_factory=Plugins)
    plugin_config: list[PluginArguments] = field(default_factory=list[PluginArguments])


@dataclass(kw_only=True)
class SchedulerConfig(BaseConfig):
    """Only pods with the ``schedulerName`` of a profile are looked at. Durations are seconds.

    https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/
    """

    bind_address: str = "0.0.0.0:10259"
    metrics_address: str = "127.0.0.1:10251"
    profiles: list[Profile] = field(default_factory=lambda: [Profile()])
    percentage_of_nodes_to_score: Annotated[int, Range(0, 100)] = 0
    """0: adapts to the number of nodes, as upstream."""
    pod_initial_backoff: Period = 1.0
    pod_max_backoff: Period = 10.0
    pod_max_unschedulable: Period = 300.0
    """How long a pod rests at most when no event helps it."""
    parallel_bindings: Parallelism = 64
    assumed_pod_ttl: Duration = 0.0
    """How long after its binding a pod may stay unseen before its place is given away; 0: for ever, as upstream."""
    leader_election: LeaderElectionConfig = field(default_factory=LeaderElectionConfig)
