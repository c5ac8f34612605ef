"""The controllers of the process: one row each, from which they are chosen, made and run.

As upstream's ``ControllerDescriptor`` and ``ControllerContext`` (``cmd/kube-controller-manager/app``). Another
controller is one row of :data:`DESCRIPTORS` and a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from kubelab.client import workqueue
from kubelab.component.config import ConfigError
from kubelab.controllermanager.certificates.approving import CSRApprovingController
from kubelab.controllermanager.certificates.cleaning import CSRCleanerController
from kubelab.controllermanager.certificates.signing import CSRSigningController
from kubelab.controllermanager.clusterroleaggregation.controller import ClusterRoleAggregationController
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.cronjob.controller import CronJobController
from kubelab.controllermanager.daemonset.controller import DaemonSetController
from kubelab.controllermanager.deployment.controller import DeploymentController
from kubelab.controllermanager.disruption.controller import DisruptionController
from kubelab.controllermanager.endpoints.controller import EndpointsController
from kubelab.controllermanager.endpointslice.controller import EndpointSliceController
from kubelab.controllermanager.endpointslicemirroring.controller import EndpointSliceMirroringController
from kubelab.controllermanager.garbagecollector.controller import GarbageCollector
from kubelab.controllermanager.horizontalpodautoscaler.controller import HorizontalPodAutoscalerController
from kubelab.controllermanager.job.controller import JobController
from kubelab.controllermanager.namespace.controller import NamespaceController
from kubelab.controllermanager.nodeipam.controller import NodeIpamController
from kubelab.controllermanager.nodelifecycle.controller import NodeLifecycleController
from kubelab.controllermanager.nodelifecycle.eviction import TaintEvictionController
from kubelab.controllermanager.podgc.controller import PodGarbageCollector
from kubelab.controllermanager.replicaset.controller import ReplicaSetController
from kubelab.controllermanager.replication.controller import ReplicationManager
from kubelab.controllermanager.resourcequota.controller import ResourceQuotaController
from kubelab.controllermanager.rootcacertpublisher.controller import RootCACertPublisher
from kubelab.controllermanager.serviceaccount.controller import ServiceAccountController
from kubelab.controllermanager.statefulset.controller import StatefulSetController
from kubelab.controllermanager.ttlafterfinished.controller import TTLAfterFinishedController


class Controller(Protocol):
    """A loop with a name."""

    @property
    def name(self) -> str: ...

    async def run(self, workers: int) -> None: ...


@dataclass(frozen=True, slots=True)
class ControllerDescriptor:
    """A controller's name, how it is made, how many workers it has, and its queue's longest back-off in seconds."""

    name: str
    build: Callable[[ControllerContext], Controller]
    workers: Callable[[ControllerManagerConfig], int] = lambda _: 1
    longest_backoff: float = workqueue.MAX_DELAY


DESCRIPTORS: tuple[ControllerDescriptor, ...] = (
    ControllerDescriptor("replicationcontroller", ReplicationManager, lambda config: config.concurrent_rc_syncs),
    ControllerDescriptor("replicaset", ReplicaSetController, lambda config: config.concurrent_replica_set_syncs),
    ControllerDescriptor("deployment", DeploymentController, lambda config: config.concurrent_deployment_syncs),
    ControllerDescriptor("daemonset", DaemonSetController, lambda config: config.concurrent_daemon_set_syncs),
    ControllerDescriptor("statefulset", StatefulSetController, lambda config: config.concurrent_stateful_set_syncs),
    ControllerDescriptor("cronjob", CronJobController, lambda config: config.concurrent_cron_job_syncs),
    ControllerDescriptor("job", JobController, lambda config: config.concurrent_job_syncs),
    ControllerDescriptor(
        "ttlafterfinished",
        TTLAfterFinishedController,
        lambda config: config.concurrent_ttl_after_finished_syncs,
    ),
    ControllerDescriptor("endpoints", EndpointsController, lambda config: config.concurrent_endpoint_syncs),
    ControllerDescriptor(
        "endpointslice", EndpointSliceController, lambda config: config.concurrent_service_endpoint_syncs
    ),
    ControllerDescriptor(
        "endpointslicemirroring",
        EndpointSliceMirroringController,
        lambda config: config.mirroring_concurrent_service_endpoint_syncs,
    ),
    ControllerDescriptor(
        "namespace",
        NamespaceController,
        lambda config: config.concurrent_namespace_syncs,
        longest_backoff=60.0,  # upstream's, of the same queue
    ),
    # A controller that waits for a node's silence must not sleep on when an outage of the api-server is over.
    ControllerDescriptor(
        "nodelifecycle",
        NodeLifecycleController,
        lambda config: config.concurrent_node_syncs,
        longest_backoff=5.0,  # upstream's --node-monitor-period
    ),
    ControllerDescriptor(
        "tainteviction", TaintEvictionController, lambda config: config.concurrent_node_syncs, longest_backoff=5.0
    ),
    ControllerDescriptor("nodeipam", NodeIpamController),
    ControllerDescriptor("garbagecollector", GarbageCollector, lambda config: config.concurrent_gc_syncs),
    ControllerDescriptor("podgc", PodGarbageCollector),
    ControllerDescriptor("disruption", DisruptionController),
    ControllerDescriptor(
        "horizontalpodautoscaler",
        HorizontalPodAutoscalerController,
        lambda config: config.concurrent_horizontal_pod_autoscaler_syncs,
    ),
    ControllerDescriptor("clusterroleaggregation", ClusterRoleAggregationController),
    ControllerDescriptor("csrsigning", CSRSigningController),
    ControllerDescriptor("csrapproving", CSRApprovingController),
    ControllerDescriptor("csrcleaner", CSRCleanerController),
    ControllerDescriptor("serviceaccount", ServiceAccountController),
    ControllerDescriptor("rootcacertpublisher", RootCACertPublisher),
    ControllerDescriptor(
        "resourcequota", ResourceQuotaController, lambda config: config.concurrent_resource_quota_syncs
    ),
)


def chosen(
    words: Iterable[str], descriptors: Iterable[ControllerDescriptor] = DESCRIPTORS
) -> list[ControllerDescriptor]:
    """Read upstream's ``--controllers``: ``*`` is all, ``name`` one, ``-name`` not this one. Raises ConfigError."""
    selection, descriptors = [*words], [*descriptors]
    names = [descriptor.name for descriptor in descriptors]
    unknown = sorted({word.removeprefix("-") for word in selection} - {"*", *names})
    if unknown:
        raise ConfigError(f"controllers: unknown {', '.join(unknown)}; expected *, or some of {', '.join(names)}")
    return [d for d in descriptors if f"-{d.name}" not in selection and (d.name in selection or "*" in selection)]
