"""Take pods off nodes with NoExecute taints, each when its toleration is over.

One key is one pod. The time is worked out anew at each look from the taint's own time stamp: nothing is remembered
but whether an eviction was announced, to say so when it is called off.
"""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import taints
from kubelab.apimachinery.core.conditions import TRUE
from kubelab.apimachinery.core.pods import DISRUPTION_TARGET, is_terminal
from kubelab.apimachinery.errors import Conflict, NotFound
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import NODES, PODS
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.expectations import Expectations
from kubelab.controllermanager.indexes import BY_NODE, node_name
from kubelab.controllermanager.nodelifecycle.decide import evict_at
from kubelab.controllermanager.podcontrol import delete_pod, write_condition
from kubelab.rpc import tracing

REASON = "TaintManagerEviction"


class TaintEvictionController(Reconciler[str]):
    """Own the pods that do not tolerate where they are."""

    name = "tainteviction"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._recorder = context.recorder("taint-eviction-controller")
        self._clock = context.clock
        self._pods, self._nodes = context.informers.of(PODS), context.informers.of(NODES)
        self._pods.add_indexers({BY_NODE: node_name})
        self._expectations = Expectations(self._pods, context.clock)
        self._announced: set[str] = set()  # uids of pods with an eviction ahead
        self._nodes.add_handler(on_add=self._node_changed, on_update=self._node_updated)
        self._pods.add_handler(
            on_add=self._pod_changed, on_update=lambda _, new: self._pod_changed(new), on_delete=self._pod_gone
        )

    def enqueue_all(self) -> None:
        """Look at every node, for what an earlier lead left half done."""
        for node in self._nodes.list():
            self._node_changed(node)

    def _node_updated(self, old: core_pb2.Node, new: core_pb2.Node) -> None:
        if _no_execute(old) != _no_execute(new):
            self._look_at_pods(new)

    def _node_changed(self, node: core_pb2.Node) -> None:
        if _no_execute(node):
            self._look_at_pods(node)

    def _look_at_pods(self, node: core_pb2.Node) -> None:
        for pod in self._pods.by_index(BY_NODE, node.metadata.name):
            self._queue.add(key_of(pod))

    def _pod_changed(self, pod: core_pb2.Pod) -> None:
        node = self._nodes.get(pod.spec.nodeName) if pod.spec.nodeName else None
        if node is not None and _no_execute(node):
            self._queue.add(key_of(pod))

    def _pod_gone(self, pod: core_pb2.Pod) -> None:
        self._expectations.forget(key_of(pod))
        self._announced.discard(pod.metadata.uid)

    async def sync(self, key: str) -> None:
        """Evict one pod, or come back when it is time."""
        pod = self._pods.get(key)
        if not self._expectations.satisfied(key) or pod is None or is_terminating(pod) or is_terminal(pod):
            return
        node = self._nodes.get(pod.spec.nodeName)
        now = self._clock.time()
        when = evict_at(pod, node, now) if node is not None else None
        if when is None:
            self._call_off(pod)
        elif when > now:
            self._announced.add(pod.metadata.uid)
            self._queue.add_after(key, when - now)
        else:
            await self._evict(pod, now)

    def _call_off(self, pod: core_pb2.Pod) -> None:
        if pod.metadata.uid in self._announced:
            self._announced.discard(pod.metadata.uid)
            self._recorder.event(pod, "Normal", REASON, f"Cancelling deletion of Pod {key_of(pod)}")

    async def _evict(self, pod: core_pb2.Pod, now: float) -> None:
        reason, message = "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"
        with tracing.cause(pod.metadata.resourceVersion):
            try:
                await write_condition(self._client, pod, DISRUPTION_TARGET, TRUE, now, reason=reason, message=message)
                self._recorder.event(pod, "Normal", REASON, f"Marking for deletion Pod {key_of(pod)}")
                await delete_pod(self._client, pod)
            except NotFound:
                return
            except Conflict:
                self._queue.add(key_of(pod))  # the pod is newer than the cached one: look again
                return
        self._expectations.deleted(key_of(pod), pod)
        self._announced.discard(pod.metadata.uid)
        self._log.info("evicted", pod=key_of(pod), node=pod.spec.nodeName)


def _no_execute(node: core_pb2.Node) -> list[tuple[str, str, int]]:
    return [(t.key, t.value, t.timeAdded.seconds) for t in node.spec.taints if t.effect == taints.NO_EXECUTE]
