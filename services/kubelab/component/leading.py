"""Leader election of a component, as its configuration describes it."""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.client.client import Client
from kubelab.client.leaderelection import LeaderElector
from kubelab.component.config import Period
from kubelab.component.environment import Environment


@dataclass(kw_only=True)
class LeaderElectionConfig:
    """Settings of leader election; names and defaults are upstream's. Durations are seconds."""

    leader_elect: bool = True
    lease_duration: Period = 15.0
    renew_deadline: Period = 10.0
    retry_period: Period = 2.0
    resource_namespace: str = "kube-system"
    resource_name: str = ""
    """Of the Lease; empty: the component's, ``kube-scheduler`` or ``kube-controller-manager``."""

    def __post_init__(self) -> None:
        if not self.lease_duration > self.renew_deadline > self.retry_period:
            raise ValueError("leaseDuration: must be greater than renewDeadline, and that greater than retryPeriod")


def elector(config: LeaderElectionConfig, lease: str, env: Environment, client: Client) -> LeaderElector | None:
    """Make the elector that the configuration describes; None where none is. ``lease`` is the component's own."""
    if not config.leader_elect:
        return None
    return LeaderElector(
        client,
        config.resource_namespace,
        config.resource_name or lease,
        env.name,
        env.clock,
        log=env.log,
        lease_duration=config.lease_duration,
        renew_deadline=config.renew_deadline,
        retry_period=config.retry_period,
    )
