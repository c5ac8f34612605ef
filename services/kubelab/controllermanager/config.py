"""The configuration of the controller-manager. All durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from kubelab.component.config import BaseConfig, Duration, Parallelism, Period, Range
from kubelab.component.leading import LeaderElectionConfig

YEAR = 365 * 24 * 3600.0


@dataclass(kw_only=True)
class NodeLifecycleConfig:
    """How long a silent node is believed, and how quickly nodes are emptied."""

    node_monitor_grace_period: Period = 50.0
    """A node that gave no sign of life for so long is Unknown."""
    node_startup_grace_period: Period = 60.0
    """The same for a node that has never posted a status."""
    node_eviction_rate: Annotated[float, Range(0, 1000)] = 0.1
    """Nodes a second that may get a NoExecute taint."""
    secondary_node_eviction_rate: Annotated[float, Range(0, 1000)] = 0.01
    """The same where more than ``unhealthyZoneThreshold`` of the nodes are gone; 0 in small clusters."""
    large_cluster_size_threshold: Annotated[int, Range(0, 1_000_000)] = 50
    unhealthy_zone_threshold: Annotated[float, Range(0, 1)] = 0.55


@dataclass(kw_only=True)
class PodGCConfig:
    """Which pods the pod garbage collector removes."""

    terminated_pod_gc_threshold: Annotated[int, Range(0, 1_000_000)] = 12500
    """So many ended pods are kept; 0 keeps all."""
    node_quarantine: Duration = 40.0
    """How long a pod's node must be missing before the pod is given up."""


@dataclass(kw_only=True)
class ControllerManagerConfig(BaseConfig):
    """Which controllers run, how many keys each works on at once, and their durations."""

    bind_address: str = "0.0.0.0:10257"
    metrics_address: str = "127.0.0.1:10252"
    controllers: list[str] = field(default_factory=lambda: ["*"])
    """Names; ``*`` is all, ``-name`` leaves one out."""
    cluster_cidr: str = "10.244.0.0/16"
    node_cidr_mask_size: Annotated[int, Range(1, 32)] = 24
    cluster_signing_cert_file: Path | None = None
    """The authority that signs certificate signing requests, in PEM; without it and its key nothing is signed."""
    cluster_signing_key_file: Path | None = None
    cluster_signing_duration: Annotated[float, Range(600, 10 * YEAR)] = YEAR
    """The longest that a certificate may last."""
    concurrent_rc_syncs: Parallelism = 5
    concurrent_replica_set_syncs: Parallelism = 5
    concurrent_deployment_syncs: Parallelism = 5
    concurrent_daemon_set_syncs: Parallelism = 2
    concurrent_stateful_set_syncs: Parallelism = 5
    concurrent_cron_job_syncs: Parallelism = 5
    concurrent_job_syncs: Parallelism = 5
    concurrent_ttl_after_finished_syncs: Parallelism = 5
    concurrent_endpoint_syncs: Parallelism = 5
    concurrent_service_endpoint_syncs: Parallelism = 5
    mirroring_concurrent_service_endpoint_syncs: Parallelism = 5
    concurrent_namespace_syncs: Parallelism = 10
    concurrent_gc_syncs: Parallelism = 20
    concurrent_node_syncs: Parallelism = 8
    concurrent_horizontal_pod_autoscaler_syncs: Parallelism = 5
    concurrent_resource_quota_syncs: Parallelism = 5
    endpoint_updates_batch_period: Duration = 0.02
    """Changes of pods are gathered so long before a service's endpoints are written."""
    node_lifecycle: NodeLifecycleConfig = field(default_factory=NodeLifecycleConfig)
    pod_gc: PodGCConfig = field(default_factory=PodGCConfig)
    root_ca_file: Path | None = None
    """The authority's certificate that every namespace gets as ``kube-root-ca.crt``; none: the kubeconfig's."""
    leader_election: LeaderElectionConfig = field(default_factory=LeaderElectionConfig)
