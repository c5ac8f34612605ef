"""Keep the status of every PodDisruptionBudget (upstream: ``pkg/controller/disruption``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery import labelselectors, scheme
from kubelab.apimachinery.meta import get_controller_of
from kubelab.apimachinery.scheme import POD_DISRUPTION_BUDGETS, PODS, REPLICATION_CONTROLLERS
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.disruption import decide
from kubelab.controllermanager.indexes import BY_LABEL, BY_SELECTOR, label_selecting, pod_labels, selector_keys
from kubelab.controllermanager.indexes import selector_key as key_of_label
from kubelab.rpc import tracing

NAMESPACE = "pods-by-namespace"
SCALED = (
    ("", REPLICATION_CONTROLLERS.plural),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
)
UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the "
    "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these "
    'pods please set ".spec.minAvailable" field of the PDB to an integer value.'
)


class NoScale(Exception):
    """A pod's controller has no size that is known; the message is upstream's."""


class DisruptionController(Reconciler[str]):
    """Count the healthy pods of every budget whenever its pods or their workloads change."""

    name = "disruption"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("controllermanager")
        self._budgets = context.informers.of(POD_DISRUPTION_BUDGETS)
        self._pods = context.informers.of(PODS)
        self._budgets.add_indexers({BY_SELECTOR: selector_keys})
        self._pods.add_indexers({BY_LABEL: pod_labels, NAMESPACE: lambda pod: (pod.metadata.namespace,)})
        resources = [resource for place in SCALED if (resource := scheme.by_plural(*place)) is not None]
        self._workloads = {resource.kind: context.informers.of(resource) for resource in resources}
        self._budgets.add_handler(on_add=self._changed, on_update=lambda _, new: self._changed(new))
        self._pods.add_handler(on_add=self._pod_changed, on_update=self._pod_updated, on_delete=self._pod_changed)
        for informer in self._workloads.values():
            informer.add_handler(on_add=self._workload_changed, on_update=lambda _, new: self._workload_changed(new))

    def enqueue_all(self) -> None:
        """Look at every budget."""
        for budget in self._budgets.list():
            self._changed(budget)

    def _changed(self, budget: policy_pb2.PodDisruptionBudget) -> None:
        self._queue.add(key_of(budget))

    def _pod_updated(self, old: core_pb2.Pod, new: core_pb2.Pod) -> None:
        if old.metadata.labels != new.metadata.labels:
            self._pod_changed(old)
        self._pod_changed(new)

    def _pod_changed(self, pod: core_pb2.Pod) -> None:
        for budget in label_selecting(self._budgets, pod):
            self._changed(budget)

    def _workload_changed(self, workload: Any) -> None:
        """Count the budgets of a workload's pods again, by its template: its size may have changed."""
        template = core_pb2.Pod()
        template.metadata.namespace = workload.metadata.namespace
        template.metadata.labels.update(workload.spec.template.metadata.labels)
        self._pod_changed(template)

    async def sync(self, key: str) -> None:
        """Count one budget and write its status."""
        budget = self._budgets.get(key)
        if budget is None:
            return
        now = self._clock.time()
        pods = self._pods_of(budget)
        with tracing.cause(budget.metadata.resourceVersion):
            if not pods:
                self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
            try:
                scale, unmanaged = self._scale(pods) if decide.needs_scale(budget) else (0, [])
                want = decide.expected(budget, len(pods), scale)
            except (NoScale, ValueError) as err:
                message = f"Failed to calculate the number of expected pods: {err}"
                self._recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", message)
                await self._write(budget, decide.failed_status(budget, str(err), now))
                return
            if unmanaged:
                selector = labelselectors.text(budget.spec.selector)
                self._recorder.event(budget, "Warning", "UnmanagedPods", UNMANAGED.format(selector=selector))
            evicted = decide.disrupted(budget, pods, now)
            for pod in evicted.not_deleted:
                name = f"{budget.metadata.namespace}/{budget.metadata.name}"
                message = f"Pod was expected by PDB {name} to be deleted but it wasn't"
                self._recorder.event(pod, "Warning", "NotDeleted", message)
            current = decide.healthy(pods, evicted.pods)
            await self._write(budget, decide.new_status(budget, want, current, evicted.pods, now))
        if evicted.wait is not None:
            self._queue.add_after(key, max(evicted.wait, 0.0) + 1.0)

    async def _write(self, budget: policy_pb2.PodDisruptionBudget, changed: policy_pb2.PodDisruptionBudget) -> None:
        """Write the status where it differs. A Conflict, such as with an eviction, has the key synced again."""
        if changed.status != budget.status:
            await self._client.update_status(changed)

    def _pods_of(self, budget: policy_pb2.PodDisruptionBudget) -> Sequence[core_pb2.Pod]:
        if not budget.spec.HasField("selector"):
            return []
        namespace, selector = budget.metadata.namespace, budget.spec.selector
        pairs = sorted(selector.matchLabels.items())[:1]
        for key, value in pairs:
            candidates = self._pods.by_index(BY_LABEL, key_of_label(namespace, key, value))
            break
        else:
            candidates = self._pods.by_index(NAMESPACE, namespace)
        matches = labelselectors.of_stored(selector).matches
        return [pod for pod in candidates if matches(pod.metadata.labels)]

    def _scale(self, pods: Sequence[core_pb2.Pod]) -> tuple[int, list[core_pb2.Pod]]:
        """Add up the replicas of the pods' workloads, each once; and give the pods without a controller."""
        found: dict[str, tuple[str, int]] = {}
        unmanaged: list[core_pb2.Pod] = []
        for pod in pods:
            owner = get_controller_of(pod)
            if owner is None:
                unmanaged.append(pod)
            elif owner.uid not in found:
                found[owner.uid] = self._workload_of(pod, owner)
        return sum(dict(found.values()).values()), unmanaged

    def _workload_of(self, pod: core_pb2.Pod, owner: meta_pb2.OwnerReference) -> tuple[str, int]:
        """Give the uid and the replicas of a pod's workload; of a ReplicaSet's Deployment where it has one."""
        workload = self._find(pod.metadata.namespace, owner)
        if workload is None:
            raise NoScale(f'found no controllers for pod "{pod.metadata.name}"')
        above = get_controller_of(workload)
        deployment = self._find(pod.metadata.namespace, above) if above is not None else None
        counted = workload if deployment is None else deployment
        return counted.metadata.uid, counted.spec.replicas

    def _find(self, namespace: str, owner: meta_pb2.OwnerReference) -> Any:
        informer = self._workloads.get(owner.kind)
        workload: Any = informer.get(f"{namespace}/{owner.name}") if informer is not None else None
        return workload if workload is not None and workload.metadata.uid == owner.uid else None
