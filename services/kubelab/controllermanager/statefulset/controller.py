"""Keep the pods of each StatefulSet, each with its name, in their order.

Different StatefulSets are synced in parallel, one never twice at once. What was written is awaited in the caches before
the next decision.
"""

from __future__ import annotations

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.apps.revisions import template_of
from kubelab.apimachinery.core.pods import available_in
from kubelab.apimachinery.errors import NAMESPACE_TERMINATING, ApiError, NotFound, has_cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import get_controller_of, is_terminating
from kubelab.apimachinery.scheme import PODS, STATEFUL_SETS
from kubelab.client.controller import Reconciler
from kubelab.client.events import EventKind
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.controllerrefs import ControllerRefManager
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.failedpods import FailedPods
from kubelab.controllermanager.gather import gather_limited
from kubelab.controllermanager.indexes import BY_SELECTOR, label_selecting, selector_keys
from kubelab.controllermanager.podcontrol import PodControl, delete_pod
from kubelab.controllermanager.revisions.history import History, RevisionHistory
from kubelab.controllermanager.statefulset import decide
from kubelab.controllermanager.statefulset.pods import is_adoptable, make_pod, ordinal_of, revision_of
from kubelab.rpc import tracing

KIND = STATEFUL_SETS.kind


class StatefulSetController(Reconciler[str]):
    """Own the pods of every StatefulSet."""

    name = "statefulset"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("statefulset-controller")
        self._sets, self._pods = context.informers.of(STATEFUL_SETS), context.informers.of(PODS)
        self._sets.add_indexers({BY_SELECTOR: selector_keys})
        self._failed = FailedPods(lambda pod: pod.metadata.name)
        self._expectations = Expectations(self._pods, context.clock)
        self._status_expectations = Expectations(self._sets, context.clock)
        control = PodControl(self._client, self._recorder, self._expectations)
        self._refs = ControllerRefManager(self._client, STATEFUL_SETS, self._pods, control.update, is_adoptable)
        self._history = RevisionHistory(context, STATEFUL_SETS)
        self._sets.add_handler(
            on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new), on_delete=self._enqueue
        )
        self._pods.add_handler(on_add=self._pod_changed, on_update=self._pod_updated, on_delete=self._pod_changed)

    def enqueue_all(self) -> None:
        """Look at every StatefulSet."""
        for stateful_set in self._sets.list():
            self._enqueue(stateful_set)

    def _enqueue(self, stateful_set: apps_pb2.StatefulSet) -> None:
        self._queue.add(key_of(stateful_set))

    def _pod_changed(self, pod: core_pb2.Pod) -> None:
        owner = get_controller_of(pod)
        if owner is not None:
            if owner.kind == KIND:
                self._queue.add(f"{pod.metadata.namespace}/{owner.name}")
            return
        for stateful_set in label_selecting(self._sets, pod):  # it may adopt the orphan
            self._enqueue(stateful_set)

    def _pod_updated(self, old: core_pb2.Pod, new: core_pb2.Pod) -> None:
        if get_controller_of(old) != get_controller_of(new):
            self._pod_changed(old)
        self._pod_changed(new)

    async def sync(self, key: str) -> None:
        """Bring one StatefulSet's pods and status towards its spec."""
        stateful_set = self._sets.get(key)
        waits = (self._expectations, self._status_expectations, self._history)
        if stateful_set is None:
            for awaited in waits:
                awaited.forget(key)
            self._failed.forget(key)
            return
        if not all(awaited.satisfied(key) for awaited in waits):
            self._queue.add_after(key, LOOK_AGAIN)  # the awaited events bring the key back sooner
            return
        with tracing.cause(stateful_set.metadata.resourceVersion):
            await self._work(key, stateful_set)

    async def _work(self, key: str, stateful_set: apps_pb2.StatefulSet) -> None:
        now = self._clock.time()
        matches = labelselectors.of_stored(stateful_set.spec.selector).matches
        claimed = await self._refs.claim(key, stateful_set, matches)
        pods = [pod for pod in claimed if ordinal_of(stateful_set, pod) is not None]
        history = await self._history.read(key, stateful_set, matches)
        update = history.update.metadata.name
        current = stateful_set.status.currentRevision or update
        seen = decide.slots(stateful_set, pods)
        failure: ApiError | None = None
        if not is_terminating(stateful_set):
            todo = decide.plan(stateful_set, seen, current, update, now)
            if later := self._failed.hold_back(key, stateful_set.metadata.generation, todo, now):
                self._queue.add_after(key, later)
            failure = await self._act(key, stateful_set, todo, history, current)
            live = {current, update, *(revision_of(pod) for pod in pods)}
            await self._history.truncate(key, stateful_set, history, live)
        fresh = decide.status(stateful_set, seen, current, update, history.collisions, now)
        await self._write_status(key, stateful_set, fresh)
        least = stateful_set.spec.minReadySeconds
        if soonest := [seconds for pod in pods if (seconds := available_in(pod, least, now))]:
            self._queue.add_after(key, min(soonest))  # no event says that it is available now
        if failure is not None:
            raise failure  # the queue retries the key

    async def _act(
        self, key: str, stateful_set: apps_pb2.StatefulSet, todo: decide.Plan, history: History, current: str
    ) -> ApiError | None:
        """Create and delete; return why not all of it could be done."""
        pods: list[core_pb2.Pod] = []
        for ordinal, as_before in todo.create.items():
            before = history.named(current) if as_before else None
            template = template_of(before) if before is not None else stateful_set.spec.template
            revision = (before or history.update).metadata.name
            pods.append(make_pod(stateful_set, template, revision, ordinal))
        for pod in todo.ended:
            what = f"StatefulSet {stateful_set.metadata.namespace}/{stateful_set.metadata.name}"
            told = f"{what} is recreating {pod.status.phase.lower()} Pod {pod.metadata.name}"
            self._recorder.event(stateful_set, "Warning", f"Recreating{pod.status.phase}Pod", told)
        created = await gather_limited(self._create(key, stateful_set, pod) for pod in pods)
        deleted = await gather_limited(self._delete(key, stateful_set, pod) for pod in todo.delete)
        return next((error for error in (*created, *deleted) if error is not None), None)

    async def _create(self, key: str, stateful_set: apps_pb2.StatefulSet, pod: core_pb2.Pod) -> ApiError | None:
        name = pod.metadata.name
        try:
            self._expectations.created(key, await self._client.create(pod))
        except ApiError as err:
            if has_cause(err, NAMESPACE_TERMINATING):
                return None
            self._tell(stateful_set, "Warning", "FailedCreate", f"create Pod {name}", f"failed error: {err.message}")
            return err
        self._tell(stateful_set, "Normal", "SuccessfulCreate", f"create Pod {name}", "successful")
        return None

    async def _delete(self, key: str, stateful_set: apps_pb2.StatefulSet, pod: core_pb2.Pod) -> ApiError | None:
        name = pod.metadata.name
        try:
            await delete_pod(self._client, pod)
        except NotFound:
            return None
        except ApiError as err:
            self._tell(stateful_set, "Warning", "FailedDelete", f"delete Pod {name}", f"failed error: {err.message}")
            return err
        self._expectations.deleted(key, pod)
        self._tell(stateful_set, "Normal", "SuccessfulDelete", f"delete Pod {name}", "successful")
        return None

    def _tell(self, stateful_set: apps_pb2.StatefulSet, kind: EventKind, reason: str, did: str, how: str) -> None:
        self._recorder.event(stateful_set, kind, reason, f"{did} in StatefulSet {stateful_set.metadata.name} {how}")

    async def _write_status(
        self, key: str, stateful_set: apps_pb2.StatefulSet, fresh: apps_pb2.StatefulSetStatus
    ) -> None:
        if fresh == stateful_set.status:
            return
        changed = deep_copy(stateful_set)
        changed.status.CopyFrom(fresh)
        try:
            self._status_expectations.created(key, await self._client.update_status(changed))
        except NotFound:
            return
