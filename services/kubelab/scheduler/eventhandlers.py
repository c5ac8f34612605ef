"""What the watches show goes into the cache and the queue: the only writers beside the scheduling loop.

Handlers run on the event loop between two decisions, whether or not this scheduler leads: a new leader starts warm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from kubelab.api.core.v1 import core_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery import labelselectors, names
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.client.informer import Informer, key_of
from kubelab.scheduler import clusterevents
from kubelab.scheduler.cache import Cache
from kubelab.scheduler.clusterevents import ClusterEvent
from kubelab.scheduler.model import PodInfo
from kubelab.scheduler.queue import SchedulingQueue
from kubelab.scheduler.waitingpods import WaitingPods
from kubelab.scheduler.workloads import equal_to


class EventHandlers:
    """Subscribes to every informer that the scheduler needs."""

    def __init__(
        self,
        *,
        pods: Informer[core_pb2.Pod],
        nodes: Informer[core_pb2.Node],
        services: Informer[core_pb2.Service],
        controllers: Informer[core_pb2.ReplicationController],
        namespaces: Informer[core_pb2.Namespace],
        budgets: Informer[policy_pb2.PodDisruptionBudget],
        queue: SchedulingQueue,
        cache: Cache,
        waiting: WaitingPods,
        scheduler_names: Collection[str],
        workloads: Sequence[Informer[Any]] = (),
    ) -> None:
        """``workloads`` are kinds with a LabelSelector, such as ReplicaSets."""
        self._queue, self._cache, self._waiting = queue, cache, waiting
        self._workloads = cache.workloads
        self._scheduler_names = scheduler_names
        self._informers = (pods, nodes, services, controllers, namespaces, budgets, *workloads)
        pods.add_handler(on_add=self.pod_set, on_update=lambda _, new: self.pod_set(new), on_delete=self.pod_gone)
        nodes.add_handler(on_add=self.node_set, on_update=lambda _, new: self.node_set(new), on_delete=self.node_gone)
        services.add_handler(
            on_add=self.service_set, on_update=lambda _, new: self.service_set(new), on_delete=self.service_gone
        )
        controllers.add_handler(
            on_add=self.controller_set,
            on_update=lambda _, new: self.controller_set(new),
            on_delete=self.controller_gone,
        )
        for workload in workloads:
            workload.add_handler(
                on_add=self.workload_set,
                on_update=lambda _, new: self.workload_set(new),
                on_delete=self.controller_gone,
            )
        namespaces.add_handler(
            on_add=self.namespace_set, on_update=lambda _, new: self.namespace_set(new), on_delete=self.namespace_gone
        )

        budgets.add_handler(
            on_add=self.budget_set, on_update=lambda _, new: self.budget_set(new), on_delete=self.budget_gone
        )

    async def wait_synced(self) -> None:
        """Return when the cache holds what the api-server had at the start."""
        for informer in self._informers:
            await informer.wait_synced()

    def pod_set(self, pod: core_pb2.Pod) -> None:
        """Sort a pod: ended ones need nothing, those with a node take room, the rest wait for one."""
        uid = pod.metadata.uid
        if is_terminal(pod):
            self.pod_gone(pod)
        elif pod.spec.nodeName:
            self._queue.remove(uid)
            self._waiting.reject(uid)
            self._tell(self._cache.set_pod(PodInfo.of(pod)))
        elif pod.spec.schedulerName in self._scheduler_names and (
            self._queue.holds(uid) or not self._cache.is_assumed(uid)
        ):
            # A pod that is being bound is kept up to date as well: it may come back. A bound pod's events here are old.
            info = PodInfo.of(pod)
            if info.nominated:  # by this process, or by the one that led before
                self._cache.nominate(info, info.nominated)
            self._queue.add(info)

    def pod_gone(self, pod: core_pb2.Pod) -> None:
        self._queue.remove(pod.metadata.uid)
        self._waiting.reject(pod.metadata.uid)
        if self._cache.remove_pod(pod.metadata.uid):
            self._queue.move(clusterevents.POD_GONE)

    def node_set(self, node: core_pb2.Node) -> None:
        if names.dns_subdomain(node.metadata.name):
            return  # no pod can be bound to it: the api-server lets no such name in, etcd may hold it
        self._tell(self._cache.set_node(node))

    def node_gone(self, node: core_pb2.Node) -> None:
        self._cache.remove_node(node.metadata.name)
        self._queue.move(clusterevents.NODE_GONE)

    def service_set(self, service: core_pb2.Service) -> None:
        meta = service.metadata
        self._workloads.set_service(meta.namespace, meta.name, service.spec.selector)

    def service_gone(self, service: core_pb2.Service) -> None:
        self._workloads.remove_service(service.metadata.namespace, service.metadata.name)

    def controller_set(self, controller: core_pb2.ReplicationController) -> None:
        self._workloads.set_controller(controller.metadata.uid, equal_to(controller.spec.selector))

    def workload_set(self, workload: Any) -> None:
        selector = labelselectors.of_stored(workload.spec.selector)
        self._workloads.set_controller(workload.metadata.uid, selector)

    def controller_gone(self, controller: Any) -> None:
        self._workloads.remove_controller(controller.metadata.uid)

    def budget_set(self, budget: policy_pb2.PodDisruptionBudget) -> None:
        self._cache.budgets[key_of(budget)] = budget

    def budget_gone(self, budget: policy_pb2.PodDisruptionBudget) -> None:
        self._cache.budgets.pop(key_of(budget), None)

    def namespace_set(self, namespace: core_pb2.Namespace) -> None:
        if self._cache.namespaces.set(namespace.metadata.name, namespace.metadata.labels):
            self._queue.move(clusterevents.NAMESPACE_LABELED)

    def namespace_gone(self, namespace: core_pb2.Namespace) -> None:
        self._cache.namespaces.remove(namespace.metadata.name)

    def _tell(self, events: Iterable[ClusterEvent]) -> None:
        for event in events:
            self._queue.move(event)
