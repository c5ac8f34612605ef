"""Keep as many pods of each replication controller alive as it asks for.

Different controllers are synced in parallel, one controller never twice at once. What was created or deleted is awaited
in the cache before the next decision. Restarted between any two lines, the next sync finds what is there and goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labels
from kubelab.apimachinery.core.pods import available_in, is_active
from kubelab.apimachinery.errors import NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import get_controller_of, is_terminating
from kubelab.apimachinery.scheme import PODS, REPLICATION_CONTROLLERS
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.controllerrefs import PodControllerRefManager
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.indexes import BY_SELECTOR, selecting, selector_label
from kubelab.controllermanager.podcontrol import FAILED_CREATE, FAILED_DELETE, PodControl, pod_from_template
from kubelab.controllermanager.replication.decide import Failure, Plan, plan, status
from kubelab.rpc import tracing

KIND = REPLICATION_CONTROLLERS.kind


class ReplicationManager(Reconciler[str]):
    """Own the pods of every ReplicationController. A key says "look again", never "what happened"."""

    name = "replicationcontroller"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._clock = context.clock
        self._controllers, self._pods = context.informers.of(REPLICATION_CONTROLLERS), context.informers.of(PODS)
        self._controllers.add_indexers({BY_SELECTOR: selector_label})
        self._expectations = Expectations(self._pods, context.clock)
        self._status_expectations = Expectations(self._controllers, context.clock)
        self._pod_control = PodControl(self._client, context.recorder("replication-controller"), self._expectations)
        self._refs = PodControllerRefManager(self._client, REPLICATION_CONTROLLERS, self._pods, self._pod_control)
        self._controllers.add_handler(
            on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new), on_delete=self._enqueue
        )
        self._pods.add_handler(on_add=self._pod_changed, on_update=self._pod_updated, on_delete=self._pod_changed)

    def enqueue_all(self) -> None:
        """Look at every replication controller, for what an earlier lead left half done."""
        for rc in self._controllers.list():
            self._enqueue(rc)

    def _enqueue(self, rc: core_pb2.ReplicationController) -> None:
        self._queue.add(key_of(rc))

    def _pod_changed(self, pod: core_pb2.Pod) -> None:
        owner = get_controller_of(pod)
        if owner is not None:
            if owner.kind == KIND:
                self._queue.add(f"{pod.metadata.namespace}/{owner.name}")
            return
        for rc in selecting(self._controllers, pod):  # it may adopt the orphan
            self._enqueue(rc)

    def _pod_updated(self, old: core_pb2.Pod, new: core_pb2.Pod) -> None:
        if get_controller_of(old) != get_controller_of(new):
            self._pod_changed(old)
        self._pod_changed(new)

    async def sync(self, key: str) -> None:
        """Bring one controller's pods and status towards its spec."""
        rc = self._controllers.get(key)
        if rc is None:
            self._expectations.forget(key)
            self._status_expectations.forget(key)
            return
        if not (self._expectations.satisfied(key) and self._status_expectations.satisfied(key)):
            self._queue.add_after(key, LOOK_AGAIN)  # the awaited events bring the key back sooner
            return
        with tracing.cause(rc.metadata.resourceVersion):
            matches = partial(labels.select, rc.spec.selector)
            pods = [pod for pod in await self._refs.claim(key, rc, matches) if is_active(pod)]
            failure = None if is_terminating(rc) else await self._act(key, rc, plan(rc, pods, self._clock.time()))
            await self._write_status(key, rc, pods, failure)
        if failure is not None:
            raise failure.error  # the queue retries the key

    async def _act(self, key: str, rc: core_pb2.ReplicationController, todo: Plan) -> Failure | None:
        """Create or delete; return why not all of it could be done."""
        if todo.create:
            pod = pod_from_template(rc.spec.template, rc, REPLICATION_CONTROLLERS)
            error = await self._pod_control.create_all(key, rc, [pod] * todo.create)
        else:
            error = await self._pod_control.delete_all(key, rc, todo.delete)
        return Failure(FAILED_CREATE if todo.create else FAILED_DELETE, error) if error is not None else None

    async def _write_status(
        self, key: str, rc: core_pb2.ReplicationController, pods: Sequence[core_pb2.Pod], failure: Failure | None
    ) -> None:
        now = self._clock.time()
        fresh = status(rc, pods, failure, now)
        if fresh != rc.status:
            changed = deep_copy(rc)
            changed.status.CopyFrom(fresh)
            try:
                self._status_expectations.created(key, await self._client.update_status(changed))
            except NotFound:
                return
        soonest = [seconds for pod in pods if (seconds := available_in(pod, rc.spec.minReadySeconds, now))]
        if soonest:
            self._queue.add_after(key, min(soonest))  # no event says that it is available now
