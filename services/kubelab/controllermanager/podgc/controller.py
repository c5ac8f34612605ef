"""Remove the pods that no other component removes: their node is gone for good, they ended long ago, or they were
deleted before they ever had a node.

No period: changes of pods and nodes bring the keys. A node must be missing for the whole quarantine before its pods are
given up, and the api-server itself is asked for it once more.
"""

from __future__ import annotations

import contextlib

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.conditions import TRUE
from kubelab.apimachinery.core.pods import DISRUPTION_TARGET, FAILED, is_terminal
from kubelab.apimachinery.errors import Conflict, NotFound
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import NODES, PODS
from kubelab.client.controller import Reconciler
from kubelab.client.informer import key_of
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.indexes import BY_NODE, TERMINATED, node_name, terminated
from kubelab.controllermanager.podcontrol import delete_pod, write_condition
from kubelab.controllermanager.podgc.decide import surplus
from kubelab.rpc import tracing

THRESHOLD = ""  # the key that stands for "count the ended pods"


class PodGarbageCollector(Reconciler[str]):
    """Removes pods without a node and surplus ended ones."""

    name = "podgc"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client = context.client
        self._clock = context.clock
        self._config = context.config.pod_gc
        self._pods, self._nodes = context.informers.of(PODS), context.informers.of(NODES)
        self._pods.add_indexers({BY_NODE: node_name, TERMINATED: terminated})
        self._missing: dict[str, float] = {}  # node → since when, monotonic
        self._pods.add_handler(on_add=self._pod_changed, on_update=lambda _, new: self._pod_changed(new))
        self._nodes.add_handler(on_add=self._node_came, on_delete=self._node_went)

    def enqueue_all(self) -> None:
        """Look at every pod."""
        for pod in self._pods.list():
            self._pod_changed(pod)

    def _pod_changed(self, pod: core_pb2.Pod) -> None:
        if is_terminal(pod):
            self._queue.add(THRESHOLD)
        if pod.spec.nodeName:
            if self._nodes.get(pod.spec.nodeName) is None:
                self._queue.add(key_of(pod))
        elif is_terminating(pod):
            self._queue.add(key_of(pod))

    def _node_came(self, node: core_pb2.Node) -> None:
        self._missing.pop(node.metadata.name, None)

    def _node_went(self, node: core_pb2.Node) -> None:
        self._missing.setdefault(node.metadata.name, self._clock.monotonic())
        for pod in self._pods.by_index(BY_NODE, node.metadata.name):
            self._queue.add(key_of(pod))

    async def sync(self, key: str) -> None:
        """Look at one pod, or at how many have ended."""
        if key == THRESHOLD:
            for pod in surplus(self._pods.by_index(TERMINATED, ""), self._config.terminated_pod_gc_threshold):
                await self._delete(pod, "too many pods have ended")
            return
        pod = self._pods.get(key)
        if pod is None:
            return
        if not pod.spec.nodeName:
            if is_terminating(pod):
                await self._delete(pod, "it was deleted before it had a node")
        elif self._nodes.get(pod.spec.nodeName) is None:
            await self._orphan(key, pod)

    async def _orphan(self, key: str, pod: core_pb2.Pod) -> None:
        node = pod.spec.nodeName
        now = self._clock.monotonic()
        remaining = self._missing.setdefault(node, now) + self._config.node_quarantine - now
        if remaining > 0:
            self._queue.add_after(key, remaining)
            return
        try:
            await self._client.get(NODES, node)
        except NotFound:
            with tracing.cause(pod.metadata.resourceVersion):
                await self._fail(pod)
                await self._delete(pod, "its node is gone")
        else:
            self._missing.pop(node, None)  # the cache will know it soon

    async def _fail(self, pod: core_pb2.Pod) -> None:
        """Mark the pod as failed: its owner replaces it at once, also while its deletion takes long."""
        if is_terminal(pod):
            return
        with contextlib.suppress(NotFound):
            await write_condition(
                self._client,
                pod,
                DISRUPTION_TARGET,
                TRUE,
                self._clock.time(),
                reason="DeletionByPodGC",
                message="PodGC: node no longer exists",
                phase=FAILED,
            )

    async def _delete(self, pod: core_pb2.Pod, why: str) -> None:
        try:
            await delete_pod(self._client, pod, grace_period_seconds=0)
        except (NotFound, Conflict):
            return  # gone, or the name is another pod's
        self._log.info("removed a pod", pod=key_of(pod), why=why)
