"""Writes pods' statuses: only changes, at once, the newest only, one write in flight for a pod; no caller waits for it.

The workers say what is (:meth:`StatusManager.set`, which only notes and enqueues); the queue's workers write. Each
``set`` has a version, so what is written is never older than what was written before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import PODS
from kubelab.client.client import Client
from kubelab.client.controller import run_workers
from kubelab.client.workqueue import WorkQueue
from kubelab.kubelet.metrics import KubeletMetrics
from kubelab.kubelet.pods.status import OURS, ours
from kubelab.rpc import tracing

CONFLICTS = 5  # others write a pod seldom; more in a row is not a race


@dataclass(slots=True)
class _Entry:
    pod: core_pb2.Pod
    """The newest object known: told by the informer, or the answer to our own last write."""
    status: core_pb2.PodStatus
    version: int = 1
    written: int = 0
    span: tracing.SpanContext | None = None
    then: Callable[[], None] | None = None
    """Who waits for everything to be written, or not to matter any more."""

    gone: bool = False
    """The api-server does not have it any more, whether or not its informer knows: there is nothing to write to."""

    @property
    def pending(self) -> bool:
        return not self.gone and self.written < self.version

    def give_up(self) -> None:
        self.gone = True
        self.settled()

    def settled(self) -> None:
        waits, self.then = self.then, None
        if waits is not None:
            waits()


class StatusManager:
    """See the module."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: KubeletMetrics,
        queue: WorkQueue[str] | None = None,
    ) -> None:
        self._client, self._log, self._metrics = client, log, metrics
        self._queue: WorkQueue[str] = queue or WorkQueue("pod-status", clock=clock, max_delay=2.0)
        self._entries: dict[str, _Entry] = {}

    async def run(self, *, workers: int = 4) -> None:
        await run_workers(self._queue, self._write, workers=workers, name="pod-status", log=self._log)

    def set(self, pod: core_pb2.Pod, status: core_pb2.PodStatus) -> None:
        """Say what a pod's status is; ``pod`` is the object as the caller knows it."""
        uid = pod.metadata.uid
        entry = self._entries.get(uid)
        if entry is None:
            self._entries[uid] = _Entry(pod, status, span=tracing.current())
            if ours(pod.status) != ours(status):
                self._queue.add(uid)
            else:
                self._entries[uid].written = 1
            return
        overwritten = False
        if _newer(pod, entry.pod):  # newer than our last write: another client may have changed our fields
            entry.pod = pod
            overwritten = ours(pod.status) != ours(entry.status)
        if entry.status == status and not overwritten:
            return
        entry.status, entry.span = status, tracing.current()
        entry.version += 1
        self._queue.add(uid)

    def forget(self, uid: str) -> None:
        """The pod is gone: what is still to be written about it is of no use."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            entry.settled()

    def when_written(self, uid: str, callback: Callable[[], None]) -> None:
        """Call this once, when nothing is :meth:`pending` any more; of several wishes for a pod the last counts."""
        if self.pending(uid):
            self._entries[uid].then = callback
        else:
            callback()

    def pending(self, uid: str) -> bool:
        """Say whether something is still to be written."""
        entry = self._entries.get(uid)
        return entry is not None and entry.pending

    async def _write(self, uid: str) -> None:
        entry = self._entries.get(uid)
        if entry is None or not entry.pending:
            return
        with tracing.span(entry.span), tracing.cause(entry.pod.metadata.resourceVersion):
            for _ in range(CONFLICTS):
                version = entry.version
                try:
                    answer = await self._client.update_status(_with_status(entry.pod, entry.status))
                except errors.Conflict:
                    self._metrics.status_writes.labels("Conflict").inc()
                    if not await self._read_again(uid, entry):
                        entry.give_up()
                        return
                except errors.NotFound:
                    entry.give_up()
                    return
                else:
                    self._metrics.status_writes.labels("OK").inc()
                    entry.written = max(entry.written, version)
                    if _newer(answer, entry.pod):
                        entry.pod = answer
                    break
            else:
                raise errors.Conflict(f"pod {entry.pod.metadata.name} changes faster than its status can be written")
        if entry.pending:
            self._queue.add(uid)
        else:
            entry.settled()

    async def _read_again(self, uid: str, entry: _Entry) -> bool:
        meta = entry.pod.metadata
        try:
            pod = await self._client.get(PODS, meta.name, meta.namespace)
        except errors.NotFound:
            return False
        if pod.metadata.uid != uid:  # another pod of that name
            return False
        entry.pod = pod
        return True


def _with_status(pod: core_pb2.Pod, status: core_pb2.PodStatus) -> core_pb2.Pod:
    """The object to send: our status, and the conditions that others keep in it."""
    sent = deep_copy(pod)
    sent.status.CopyFrom(status)
    sent.status.conditions.extend(c for c in pod.status.conditions if c.type not in OURS)
    return sent


def _newer(one: core_pb2.Pod, other: core_pb2.Pod) -> bool:
    """Compare the revisions of one pod; they are the store's, and only grow."""
    return _revision(one) > _revision(other)


def _revision(pod: core_pb2.Pod) -> int:
    text = pod.metadata.resourceVersion
    return int(text) if text.isdigit() else 0
