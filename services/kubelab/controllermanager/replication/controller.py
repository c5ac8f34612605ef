"""Keep as many pods of each replication controller alive as it asks for.

Different controllers are synced in parallel, one controller never twice at once. What was created or deleted is awaited
in the cache before the next decision. Restarted between any two lines, the next sync finds what is there and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import ApiError, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import get_controller_of, is_terminating, new_controller_ref
from kubelab.apimachinery.scheme import PODS, REPLICATION_CONTROLLERS
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.gather import gather_limited
from kubelab.controllermanager.informers import BY_CONTROLLER, ORPHANS, selecting
from kubelab.controllermanager.replication.decide import (
    Failure,
    Plan,
    active,
    available_in,
    claims,
    plan,
    pod_from_template,
    slow_start,
    status,
)
from kubelab.rpc import tracing

KIND = REPLICATION_CONTROLLERS.kind
NAMESPACE_TERMINATING = "NamespaceTerminating"


class ReplicationManager(Reconciler[str]):
    """Own the pods of every ReplicationController. A key says "look again", never "what happened"."""

    name = "replicationcontroller"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._recorder = context.recorder("replication-controller")
        self._clock = context.clock
        self._controllers, self._pods = context.informers.of(REPLICATION_CONTROLLERS), context.informers.of(PODS)
        self._expectations = Expectations(self._pods, context.clock)
        self._told = Expectations(self._controllers, context.clock)  # the status that was written last
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
        for rc in selecting(self._controllers, pod):  # whoever selects an orphan may adopt it
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
            self._told.forget(key)
            return
        if not (self._expectations.seen(key) and self._told.seen(key)):
            self._queue.add_after(key, LOOK_AGAIN)  # the awaited events bring the key back sooner
            return
        with tracing.cause(rc.metadata.resourceVersion):
            pods = active(await self._claim(key, rc))
            failure = None if is_terminating(rc) else await self._act(key, rc, plan(rc, pods, self._clock.time()))
            await self._write_status(key, rc, pods, failure)
        if failure is not None:
            raise failure.error  # the queue's business

    async def _claim(self, key: str, rc: core_pb2.ReplicationController) -> Sequence[core_pb2.Pod]:
        """Adopt and release, and return the controller's own pods."""
        mine = self._pods.by_index(BY_CONTROLLER, rc.metadata.uid)
        sorted_out = claims(rc, [*mine, *self._pods.by_index(ORPHANS, rc.metadata.namespace)])
        own = [*sorted_out.own]
        if sorted_out.adopt and await self._may_adopt(rc):
            for pod in sorted_out.adopt:
                changed = deep_copy(pod)
                changed.metadata.ownerReferences.append(new_controller_ref(rc, REPLICATION_CONTROLLERS))
                if await self._update_pod(key, changed):
                    own.append(changed)
        for pod in sorted_out.release:
            changed = deep_copy(pod)
            del changed.metadata.ownerReferences[:]
            changed.metadata.ownerReferences.extend(
                ref for ref in pod.metadata.ownerReferences if ref.uid != rc.metadata.uid
            )
            await self._update_pod(key, changed)
        return own

    async def _may_adopt(self, rc: core_pb2.ReplicationController) -> bool:
        """Ask the api-server itself: adopting for a controller that is gone would delete the pods."""
        try:
            live = await self._client.get(REPLICATION_CONTROLLERS, rc.metadata.name, rc.metadata.namespace)
        except NotFound:
            return False
        return live.metadata.uid == rc.metadata.uid and not is_terminating(live)

    async def _update_pod(self, key: str, pod: core_pb2.Pod) -> bool:
        try:
            self._expectations.created(key, await self._client.update(pod))
        except NotFound:
            return False
        return True

    async def _act(self, key: str, rc: core_pb2.ReplicationController, todo: Plan) -> Failure | None:
        """Create or delete; return why not all of it could be done."""
        if todo.create:
            pod = pod_from_template(rc)
            for batch in slow_start(todo.create):
                failure = _first(await gather_limited(self._create_one(key, rc, pod) for _ in range(batch)))
                if failure is not None:
                    return failure
            return None
        return _first(await gather_limited(self._delete_one(key, rc, pod) for pod in todo.delete))

    async def _create_one(self, key: str, rc: core_pb2.ReplicationController, pod: core_pb2.Pod) -> Failure | None:
        try:
            made = await self._client.create(pod)
        except ApiError as err:
            if any(cause.reason == NAMESPACE_TERMINATING for cause in err.causes):
                return None  # the controller goes with its namespace
            self._recorder.event(rc, "Warning", "FailedCreate", f"Error creating: {err.message}")
            return Failure("FailedCreate", err)
        self._expectations.created(key, made)
        self._recorder.event(rc, "Normal", "SuccessfulCreate", f"Created pod: {made.metadata.name}")
        return None

    async def _delete_one(self, key: str, rc: core_pb2.ReplicationController, pod: core_pb2.Pod) -> Failure | None:
        meta = pod.metadata
        try:
            await self._client.delete(PODS, meta.name, meta.namespace, uid=meta.uid)
        except NotFound:
            return None
        except ApiError as err:
            self._recorder.event(rc, "Warning", "FailedDelete", f"Error deleting: {err.message}")
            return Failure("FailedDelete", err)
        self._expectations.deleted(key, pod)
        self._recorder.event(rc, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name}")
        return None

    async def _write_status(
        self, key: str, rc: core_pb2.ReplicationController, pods: Sequence[core_pb2.Pod], failure: Failure | None
    ) -> None:
        now = self._clock.time()
        fresh = status(rc, pods, failure, now)
        if fresh != rc.status:
            changed = deep_copy(rc)
            changed.status.CopyFrom(fresh)
            try:
                self._told.created(key, await self._client.update_status(changed))
            except NotFound:
                return
        soonest = [seconds for pod in pods if (seconds := available_in(pod, rc.spec.minReadySeconds, now))]
        if soonest:
            self._queue.add_after(key, min(soonest))  # nothing else would say that it is available now


def _first(failures: Iterable[Failure | None]) -> Failure | None:
    return next((failure for failure in failures if failure is not None), None)
