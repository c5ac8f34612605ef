"""The configuration of the scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field

from kubelab.component.config import BaseConfig


@dataclass(kw_only=True)
class LeaderElectionConfig:
    """Which of several schedulers works. Durations are seconds."""

    leader_elect: bool = True
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    resource_namespace: str = "kube-system"
    resource_name: str = "kube-scheduler"


@dataclass(kw_only=True)
class SchedulerConfig(BaseConfig):
    """Only pods with this ``schedulerName`` are looked at. Durations are seconds."""

    bind_address: str = "0.0.0.0:10259"
    metrics_address: str = "127.0.0.1:10251"
    scheduler_name: str = "default-scheduler"
    percentage_of_nodes_to_score: int = 0
    """0: adapts to the number of nodes, as upstream."""
    pod_initial_backoff: float = 1.0
    pod_max_backoff: float = 10.0
    pod_max_unschedulable: float = 300.0
    """How long a pod rests at most when no event helps it."""
    parallel_bindings: int = 64
    assumed_pod_ttl: float = 0.0
    """How long after its binding a pod may stay unseen before its place is given away; 0: for ever, as upstream."""
    leader_election: LeaderElectionConfig = field(default_factory=LeaderElectionConfig)
