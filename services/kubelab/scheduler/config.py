"""The configuration of the scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from kubelab.component.config import BaseConfig, Duration, Parallelism, Period, Range
from kubelab.component.leading import LeaderElectionConfig


@dataclass(kw_only=True)
class SchedulerConfig(BaseConfig):
    """Only pods with this ``schedulerName`` are looked at. Durations are seconds."""

    bind_address: str = "0.0.0.0:10259"
    metrics_address: str = "127.0.0.1:10251"
    scheduler_name: str = "default-scheduler"
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
