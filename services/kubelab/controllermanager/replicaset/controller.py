"""Keep as many pods of each ReplicaSet alive as it asks for.

Different ReplicaSets are synced in parallel, one never twice at once. What was created or deleted is awaited in the
cache before the next decision. Restarted between any two lines, the next sync finds what is there and goes on.

ReplicationControllers are kept by the same code, see :mod:`kubelab.controllermanager.replication.controller`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.core.pods import available_in, is_active
from kubelab.apimachinery.errors import NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import get_controller_of, is_terminating
from kubelab.apimachinery.scheme import PODS, REPLICA_SETS, Resource
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.controllerrefs import Matches, PodControllerRefManager
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.indexes import BY_CONTROLLER, BY_SELECTOR, controller_uid, label_selecting, selector_keys
from kubelab.controllermanager.podcontrol import FAILED_CREATE, FAILED_DELETE, PodControl, pod_from_template
from kubelab.controllermanager.replicaset.decide import Failure, Plan, hold_back, plan, status
from kubelab.rpc import tracing

R = TypeVar("R", apps_pb2.ReplicaSet, core_pb2.ReplicationController)


class PodReplicator(Reconciler[str], Generic[R]):
    """Own the pods of every object of one resource. A key says "look again", never "what happened"."""

    resource: ClassVar[Resource[Any]]
    component: ClassVar[str]
    """Which component the events name."""

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._clock = context.clock
        self._owners, self._pods = context.informers.of(cast("Resource[R]", self.resource)), context.informers.of(PODS)
        self._expectations = Expectations(self._pods, context.clock)
        self._status_expectations = Expectations(self._owners, context.clock)
        self._pod_control = PodControl(self._client, context.recorder(self.component), self._expectations)
        self._refs = PodControllerRefManager(self._client, self.resource, self._pods, self._pod_control)
        self._owners.add_handler(
            on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new), on_delete=self._enqueue
        )
        self._pods.add_handler(on_add=self._pod_changed, on_update=self._pod_updated, on_delete=self._pod_changed)

    @abstractmethod
    def matches(self, owner: R) -> Matches:
        """Give the selector of an object."""

    @abstractmethod
    def selecting(self, pod: core_pb2.Pod) -> Iterable[R]:
        """Find the objects whose selector takes a pod."""

    def related(self, owner: R, pods: Sequence[core_pb2.Pod]) -> Sequence[core_pb2.Pod]:
        """Find the pods that share the nodes' burden with those of an object, and these."""
        del owner
        return pods

    def enqueue_all(self) -> None:
        """Look at every object, for what an earlier lead left half done."""
        for owner in self._owners.list():
            self._enqueue(owner)

    def _enqueue(self, owner: R) -> None:
        self._queue.add(key_of(owner))

    def _pod_changed(self, pod: core_pb2.Pod) -> None:
        ref = get_controller_of(pod)
        if ref is not None:
            if ref.kind == self.resource.kind:
                self._queue.add(f"{pod.metadata.namespace}/{ref.name}")
            return
        for owner in self.selecting(pod):  # it may adopt the orphan
            self._enqueue(owner)

    def _pod_updated(self, old: core_pb2.Pod, new: core_pb2.Pod) -> None:
        if get_controller_of(old) != get_controller_of(new):
            self._pod_changed(old)
        self._pod_changed(new)

    async def sync(self, key: str) -> None:
        """Bring one object's pods and status towards its spec."""
        owner = self._owners.get(key)
        if owner is None:
            self._expectations.forget(key)
            self._status_expectations.forget(key)
            return
        if not (self._expectations.satisfied(key) and self._status_expectations.satisfied(key)):
            self._queue.add_after(key, LOOK_AGAIN)  # the awaited events bring the key back sooner
            return
        with tracing.cause(owner.metadata.resourceVersion):
            owned = await self._refs.claim(key, owner, self.matches(owner))
            pods = [pod for pod in owned if is_active(pod)]
            failure = None if is_terminating(owner) else await self._act(key, owner, pods, owned)
            await self._write_status(key, owner, pods, failure)
        if failure is not None:
            raise failure.error  # the queue retries the key

    async def _act(
        self, key: str, owner: R, pods: Sequence[core_pb2.Pod], owned: Sequence[core_pb2.Pod]
    ) -> Failure | None:
        """Create or delete; return why not all of it could be done."""
        missing, now = owner.spec.replicas - len(pods), self._clock.time()
        todo: Plan = plan(owner, pods, now, self.related(owner, pods) if missing < 0 else None)
        if todo.create and (seconds := hold_back(owner, owned, now)):
            self._queue.add_after(key, seconds)
            return None
        if todo.create:
            pod = pod_from_template(owner.spec.template, owner, self.resource)
            error = await self._pod_control.create_all(key, owner, [pod] * todo.create)
        else:
            error = await self._pod_control.delete_all(key, owner, todo.delete)
        return Failure(FAILED_CREATE if todo.create else FAILED_DELETE, error) if error is not None else None

    async def _write_status(self, key: str, owner: R, pods: Sequence[core_pb2.Pod], failure: Failure | None) -> None:
        now = self._clock.time()
        fresh = status(owner, pods, failure, now)
        if fresh != owner.status:
            changed: Any = deep_copy(owner)
            changed.status.CopyFrom(fresh)
            try:
                self._status_expectations.created(key, await self._client.update_status(changed))
            except NotFound:
                return
        soonest = [seconds for pod in pods if (seconds := available_in(pod, owner.spec.minReadySeconds, now))]
        if soonest:
            self._queue.add_after(key, min(soonest))  # no event says that it is available now


class ReplicaSetController(PodReplicator[apps_pb2.ReplicaSet]):
    """Own the pods of every ReplicaSet."""

    name = "replicaset"
    resource = REPLICA_SETS
    component = "replicaset-controller"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._owners.add_indexers({BY_SELECTOR: selector_keys, BY_CONTROLLER: controller_uid})

    def matches(self, owner: apps_pb2.ReplicaSet) -> Matches:
        return labelselectors.of_stored(owner.spec.selector).matches

    def selecting(self, pod: core_pb2.Pod) -> Iterable[apps_pb2.ReplicaSet]:
        return label_selecting(self._owners, pod)

    def related(self, owner: apps_pb2.ReplicaSet, pods: Sequence[core_pb2.Pod]) -> Sequence[core_pb2.Pod]:
        """Find the active pods of all ReplicaSets of the same Deployment."""
        ref = get_controller_of(owner)
        if ref is None:
            return pods
        siblings = self._owners.by_index(BY_CONTROLLER, ref.uid)
        owned = (pod for rs in siblings for pod in self._pods.by_index(BY_CONTROLLER, rs.metadata.uid))
        return [pod for pod in owned if is_active(pod)]
