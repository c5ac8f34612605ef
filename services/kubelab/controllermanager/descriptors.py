"""The controllers of the process: one row each, from which they are chosen, made and run.

As upstream's ``ControllerDescriptor`` and ``ControllerContext`` (``cmd/kube-controller-manager/app``). Another
controller is one row of :data:`DESCRIPTORS` and a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kubelab.client import workqueue
from kubelab.component.config import ConfigError
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.endpoints.controller import EndpointsController
from kubelab.controllermanager.garbagecollector.controller import GarbageCollector
from kubelab.controllermanager.namespace import NamespaceController
from kubelab.controllermanager.nodeipam import CidrPool, NodeIpamController
from kubelab.controllermanager.nodelifecycle.controller import NodeLifecycleController
from kubelab.controllermanager.nodelifecycle.eviction import TaintEvictionController
from kubelab.controllermanager.podgc import PodGarbageCollector
from kubelab.controllermanager.replication.controller import ReplicationManager

if TYPE_CHECKING:
    pass


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


def _replication_manager(context: ControllerContext) -> Controller:
    return ReplicationManager(
        client=context.client,
        informers=context.informers,
        queue=context.queue,
        recorder=context.recorder("replication-controller"),
        clock=context.clock,
        log=context.log,
    )


def _endpoints(context: ControllerContext) -> Controller:
    return EndpointsController(
        client=context.client,
        informers=context.informers,
        queue=context.queue,
        recorder=context.recorder("endpoint-controller"),
        log=context.log,
        batch_period=context.config.endpoint_updates_batch_period,
    )


def _namespace(context: ControllerContext) -> Controller:
    return NamespaceController(
        client=context.client,
        informers=context.informers,
        queue=context.queue,
        clock=context.clock,
        log=context.log,
    )


def _node_lifecycle(context: ControllerContext) -> Controller:
    return NodeLifecycleController(
        client=context.client,
        informers=context.informers,
        queue=context.queue,
        recorder=context.recorder("node-controller"),
        clock=context.clock,
        log=context.log,
        config=context.config.node_lifecycle,
    )


def _taint_eviction(context: ControllerContext) -> Controller:
    return TaintEvictionController(
        client=context.client,
        informers=context.informers,
        queue=context.queue,
        recorder=context.recorder("taint-eviction-controller"),
        clock=context.clock,
        log=context.log,
    )


def _node_ipam(context: ControllerContext) -> Controller:
    config = context.config
    try:
        pool = CidrPool(config.cluster_cidr, config.node_cidr_mask_size)
    except ValueError as err:
        raise ConfigError(f"clusterCidr: {err}") from err
    return NodeIpamController(
        client=context.client,
        informers=context.informers,
        queue=context.queue,
        recorder=context.recorder("cidrAllocator"),
        log=context.log,
        pool=pool,
    )


def _garbage_collector(context: ControllerContext) -> Controller:
    return GarbageCollector(
        client=context.client,
        informers=context.informers,
        queue=context.queue,
        recorder=context.recorder("garbage-collector-controller"),
        log=context.log,
    )


def _pod_gc(context: ControllerContext) -> Controller:
    return PodGarbageCollector(
        client=context.client,
        informers=context.informers,
        queue=context.queue,
        clock=context.clock,
        log=context.log,
        config=context.config.pod_gc,
    )


DESCRIPTORS: tuple[ControllerDescriptor, ...] = (
    ControllerDescriptor("replicationcontroller", _replication_manager, lambda config: config.concurrent_rc_syncs),
    ControllerDescriptor("endpoints", _endpoints, lambda config: config.concurrent_endpoint_syncs),
    ControllerDescriptor(
        "namespace",
        _namespace,
        lambda config: config.concurrent_namespace_syncs,
        longest_backoff=60.0,  # upstream's, of the same queue
    ),
    # A controller that waits for a node's silence must not sleep on when an outage of the api-server is over.
    ControllerDescriptor(
        "nodelifecycle",
        _node_lifecycle,
        lambda config: config.concurrent_node_syncs,
        longest_backoff=5.0,  # upstream's --node-monitor-period
    ),
    ControllerDescriptor(
        "tainteviction", _taint_eviction, lambda config: config.concurrent_node_syncs, longest_backoff=5.0
    ),
    ControllerDescriptor("nodeipam", _node_ipam),
    ControllerDescriptor("garbagecollector", _garbage_collector, lambda config: config.concurrent_gc_syncs),
    ControllerDescriptor("podgc", _pod_gc),
)


def chosen(words: Iterable[str], known: Iterable[ControllerDescriptor] = DESCRIPTORS) -> list[ControllerDescriptor]:
    """Read upstream's ``--controllers``: ``*`` is all, ``name`` one, ``-name`` not this one. Raises ConfigError."""
    asked, known = [*words], [*known]
    names = [descriptor.name for descriptor in known]
    unknown = sorted({word.removeprefix("-") for word in asked} - {"*", *names})
    if unknown:
        raise ConfigError(f"controllers: unknown {', '.join(unknown)}; expected *, or some of {', '.join(names)}")
    return [d for d in known if f"-{d.name}" not in asked and (d.name in asked or "*" in asked)]
