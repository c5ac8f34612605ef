"""Keep one pod of each DaemonSet on every node that its template fits, and bring new templates to all of them.

Different DaemonSets are synced in parallel, one never twice at once. What was written is awaited in the caches before
the next decision.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.apps.revisions import POD_HASH, REVISION_HASH
from kubelab.apimachinery.core.pods import FAILED, available_in
from kubelab.apimachinery.errors import ApiError, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import get_controller_of, is_terminating
from kubelab.apimachinery.scheme import DAEMON_SETS, NODES, PODS
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.controllerrefs import PodControllerRefManager
from kubelab.controllermanager.daemonset import decide
from kubelab.controllermanager.daemonset.pods import make_pod
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.failedpods import FailedPods
from kubelab.controllermanager.indexes import BY_SELECTOR, label_selecting, selector_keys
from kubelab.controllermanager.podcontrol import PodControl
from kubelab.controllermanager.revisions.history import RevisionHistory
from kubelab.rpc import tracing

KIND = DAEMON_SETS.kind


class DaemonSetController(Reconciler[str]):
    """Own the pods of every DaemonSet."""

    name = "daemonset"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("daemonset-controller")
        self._sets, self._pods = context.informers.of(DAEMON_SETS), context.informers.of(PODS)
        self._nodes = context.informers.of(NODES)
        self._sets.add_indexers({BY_SELECTOR: selector_keys})
        self._expectations = Expectations(self._pods, context.clock)
        self._status_expectations = Expectations(self._sets, context.clock)
        self._pod_control = PodControl(self._client, self._recorder, self._expectations)
        self._refs = PodControllerRefManager(self._client, DAEMON_SETS, self._pods, self._pod_control)
        self._history = RevisionHistory(context, DAEMON_SETS)
        self._failed = FailedPods(lambda pod: pod.spec.nodeName)
        self._sets.add_handler(
            on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new), on_delete=self._enqueue
        )
        self._pods.add_handler(on_add=self._pod_changed, on_update=self._pod_updated, on_delete=self._pod_changed)
        self._nodes.add_handler(
            on_add=lambda _: self.enqueue_all(), on_update=self._node_updated, on_delete=lambda _: self.enqueue_all()
        )

    def enqueue_all(self) -> None:
        """Look at every DaemonSet."""
        for daemon_set in self._sets.list():
            self._enqueue(daemon_set)

    def _enqueue(self, daemon_set: apps_pb2.DaemonSet) -> None:
        self._queue.add(key_of(daemon_set))

    def _pod_changed(self, pod: core_pb2.Pod) -> None:
        owner = get_controller_of(pod)
        if owner is not None:
            if owner.kind == KIND:
                self._queue.add(f"{pod.metadata.namespace}/{owner.name}")
            return
        for daemon_set in label_selecting(self._sets, pod):  # it may adopt the orphan
            self._enqueue(daemon_set)

    def _pod_updated(self, old: core_pb2.Pod, new: core_pb2.Pod) -> None:
        if get_controller_of(old) != get_controller_of(new):
            self._pod_changed(old)
        self._pod_changed(new)

    def _node_updated(self, old: core_pb2.Node, new: core_pb2.Node) -> None:
        if (old.metadata.labels, old.spec.taints) != (new.metadata.labels, new.spec.taints):
            self.enqueue_all()

    async def sync(self, key: str) -> None:
        """Bring one DaemonSet's pods and status towards its spec."""
        daemon_set = self._sets.get(key)
        if daemon_set is None:
            for awaited in (self._expectations, self._status_expectations, self._history):
                awaited.forget(key)
            self._failed.forget(key)
            return
        waits = (self._expectations, self._status_expectations, self._history)
        if not all(awaited.satisfied(key) for awaited in waits):
            self._queue.add_after(key, LOOK_AGAIN)  # the awaited events bring the key back sooner
            return
        with tracing.cause(daemon_set.metadata.resourceVersion):
            await self._work(key, daemon_set)

    async def _work(self, key: str, daemon_set: apps_pb2.DaemonSet) -> None:
        now, nodes = self._clock.time(), self._nodes.list()
        matches = labelselectors.of_stored(daemon_set.spec.selector).matches
        pods = await self._refs.claim(key, daemon_set, matches)
        history = await self._history.read(key, daemon_set, matches)
        digest, placed = history.update.metadata.labels[REVISION_HASH], decide.by_node(pods)
        failure: ApiError | None = None
        if not is_terminating(daemon_set):
            todo = decide.manage(daemon_set, nodes, placed, digest, now)
            if later := self._failed.hold_back(key, daemon_set.metadata.generation, todo, now):
                self._queue.add_after(key, later)
            self._tell(daemon_set, todo.ended)
            if not todo and daemon_set.spec.updateStrategy.type == "RollingUpdate":
                todo = decide.roll(daemon_set, nodes, placed, digest, now)
            failure = await self._act(key, daemon_set, todo, digest)
            live = {pod.metadata.labels.get(POD_HASH, "") for pod in pods}
            await self._history.truncate(key, daemon_set, history, live)
        fresh = decide.status(daemon_set, nodes, placed, digest, history.collisions, now)
        await self._write_status(key, daemon_set, fresh)
        self._look_again(key, daemon_set, pods, now)
        if failure is not None:
            raise failure  # the queue retries the key

    def _tell(self, daemon_set: apps_pb2.DaemonSet, ended: Sequence[core_pb2.Pod]) -> None:
        for pod in ended:
            where = f"daemon pod {pod.metadata.namespace}/{pod.metadata.name} on node {pod.spec.nodeName}"
            if pod.status.phase == FAILED:
                told = f"Found failed {where}, will try to kill it"
                self._recorder.event(daemon_set, "Warning", "FailedDaemonPod", told)
            else:
                told = f"Found succeeded {where}, will try to delete it"
                self._recorder.event(daemon_set, "Normal", "SucceededDaemonPod", told)

    async def _act(self, key: str, daemon_set: apps_pb2.DaemonSet, todo: decide.Plan, digest: str) -> ApiError | None:
        """Create and delete; return why not all of it could be done."""
        pods = [make_pod(daemon_set, node, digest) for node in todo.create[: decide.BURST]]
        refused = await self._pod_control.create_all(key, daemon_set, pods)
        return await self._pod_control.delete_all(key, daemon_set, todo.delete[: decide.BURST]) or refused

    async def _write_status(self, key: str, daemon_set: apps_pb2.DaemonSet, fresh: apps_pb2.DaemonSetStatus) -> None:
        if fresh == daemon_set.status:
            return
        changed = deep_copy(daemon_set)
        changed.status.CopyFrom(fresh)
        try:
            self._status_expectations.created(key, await self._client.update_status(changed))
        except NotFound:
            return

    def _look_again(self, key: str, daemon_set: apps_pb2.DaemonSet, pods: Sequence[core_pb2.Pod], now: float) -> None:
        """Come back when a pod will count as available, of which no event tells."""
        least = daemon_set.spec.minReadySeconds
        if soonest := [seconds for pod in pods if (seconds := available_in(pod, least, now))]:
            self._queue.add_after(key, min(soonest))
