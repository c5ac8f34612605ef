"""All pods of the node: which has a worker, what wakes it, and which the api-server does not have.

What is serial: a pod's syncs (one key is never in two of the queue's workers). What is parallel: pods, and the long
operations, which belong to the task group of :meth:`PodManager.run`; cancelling that ends everything, and leaves
every container running for the kubelet that comes after.

::

    informer (pods of this node) ──┐
    GetContainerEvents, or relists ┼──▶ queue of uids ──▶ PodWorker.sync
    timers, pulls, ends            ──┘
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

import grpc

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import TERMINAL_PHASES, is_terminal
from kubelab.apimachinery.scheme import NODES
from kubelab.client import runtimeerrors
from kubelab.client.controller import run_workers
from kubelab.client.workqueue import WorkQueue
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.containers import security
from kubelab.kubelet.containers.config import log_file
from kubelab.kubelet.containers.environment import ConfigError
from kubelab.kubelet.cri.client import PodRef, RuntimeFailure, RuntimeUnavailable
from kubelab.kubelet.cri.views import State
from kubelab.kubelet.dependencies import Dependencies
from kubelab.kubelet.logs.rotation import RunningLog
from kubelab.kubelet.pods.admission import NODE_AFFINITY, refusal
from kubelab.kubelet.pods.worker import PodWorker

RECONNECT_SECONDS = 0.2


class PodManager:
    """See the module. ``queue`` is a test's."""

    def __init__(self, deps: Dependencies, *, queue: WorkQueue[str] | None = None) -> None:
        self._deps = deps
        self._informer, self._runtime = deps.informers.pods, deps.runtime
        self._clock, self._log = deps.clock, deps.log
        self.queue: WorkQueue[str] = queue or WorkQueue("pods", clock=deps.clock, first_delay=0.1, max_delay=2.0)
        self._pods: dict[str, core_pb2.Pod] = {}
        self._deleted: dict[str, core_pb2.Pod] = {}
        self._workers_by_uid: dict[str, PodWorker] = {}
        self._known: dict[str, PodRef] = {}
        self._listed: dict[str, frozenset[tuple[str, int]]] = {}
        self._first_relist = asyncio.Event()
        self.relists = 0
        self._relist_wanted = asyncio.Event()
        self._has_events = True
        self._changed: dict[str, asyncio.Event] = {}
        self._group: asyncio.TaskGroup | None = None
        self._runtime_changed: list[Callable[[], None]] = []
        deps.objects.on_change(self._object_changed)
        self._informer.add_handler(
            on_add=self._pod_changed, on_update=lambda _, new: self._pod_changed(new), on_delete=self._pod_deleted
        )

    def on_runtime_changed(self, callback: Callable[[], None]) -> None:
        """Call this whenever the runtime is (back) there, and when its connection broke off."""
        self._runtime_changed.append(callback)

    # --- what others ask

    def worker(self, uid: str) -> PodWorker | None:
        return self._workers_by_uid.get(uid)

    def find(self, namespace: str, name: str, uid: str = "") -> PodWorker | None:
        """Find a pod's worker by its uid, or the newest by its name."""
        if uid:
            return self._workers_by_uid.get(uid)
        pod = self._informer.get(f"{namespace}/{name}")
        return self._workers_by_uid.get(pod.metadata.uid) if pod is not None else None

    def running_logs(self) -> list[RunningLog]:
        """The logs that are written now."""
        root = self._deps.node.log_root
        views = [worker.state.view for worker in self._workers_by_uid.values()]
        return [RunningLog(c.id, log_file(root, view, c)) for view in views for c in view.running]

    def check_invariants(self) -> None:
        """Raise AssertionError where the queue's or a worker's state contradicts itself."""
        self.queue.check_invariants()
        for worker in self._workers_by_uid.values():
            worker.state.lifecycle.check_invariants()

    def changes(self, uid: str) -> asyncio.Event:
        """An event that is set whenever the pod was looked at anew."""
        return self._changed.setdefault(uid, asyncio.Event())

    def wake(self, uid: str, seconds: float) -> None:
        if seconds > 0:
            self.queue.add_after(uid, seconds)
        else:
            self.queue.add(uid)

    def spawn(self, operation: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a long call beside the workers; an unexpected exception is a bug, is logged, and stops no other pod."""
        assert self._group is not None, "operations are started by workers, and workers by run()"
        return self._group.create_task(self._guarded(operation, name), name=name)

    async def _guarded(self, operation: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await operation
        except Exception:  # noqa: BLE001 — one broken operation must not end the others
            runtimeerrors.handle_error(self._log, "operation", name)

    # --- news

    def _pod_changed(self, pod: core_pb2.Pod) -> None:
        self._pods[pod.metadata.uid] = pod
        self.queue.add(pod.metadata.uid)

    def _pod_deleted(self, pod: core_pb2.Pod) -> None:
        uid = pod.metadata.uid
        self._pods.pop(uid, None)
        self._deleted[uid] = pod
        self.queue.add(uid)

    def _object_changed(self, uid: str) -> None:
        """A config map or a secret that a pod mounts."""
        if (worker := self._workers_by_uid.get(uid)) is not None:
            worker.volumes_changed()
            self.queue.add(uid)

    def _handle_event(self, event: cri.ContainerEventResponse) -> None:
        meta = event.pod_sandbox_status.metadata
        if not meta.uid:
            self._relist_wanted.set()  # the event does not say whose container it is
            return
        worker = self._workers_by_uid.get(meta.uid)
        if worker is None and meta.uid not in self._pods:
            self._relist_wanted.set()  # the last event of a removed pod, or an orphan: a relist tells which
            return
        if worker is not None:
            if event.container_event_type == cri.CONTAINER_CREATED_EVENT or _is_known(worker, event):
                return
            cache = worker.state.runtime
            sandboxes = {s.id for s in cache.view.sandboxes}
            if cache.creating_sandbox or event.pod_sandbox_status.id in sandboxes:
                cache.changed()
            else:
                cache.unknown()
        else:
            self._known.setdefault(meta.uid, PodRef(meta.uid, meta.namespace, meta.name))
        self.queue.add(meta.uid)

    # --- running

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._follow_events(), name="container-events")
            group.create_task(self._deps.objects.run(), name="mounted-objects")
            group.create_task(self._relist_loop(), name="relists")
            # Nothing is decided before both sides are known: what is wanted, and what runs already.
            await self._informer.wait_synced()
            await self._first_relist.wait()
            uids = self._pods.keys() | self._known.keys()
            await asyncio.to_thread(remove_orphaned_logs, self._deps.node.log_root, uids)
            try:
                await asyncio.to_thread(self._deps.users.keep, frozenset(uids))
            except (OSError, ConfigError) as err:
                self._log.warning("ranges of users are not free again", error=str(err))
            try:
                await asyncio.to_thread(self._deps.folders.tear_down_others, uids, self._deps.machine)
            except OSError as err:
                self._log.warning("volumes of pods that are gone stay", error=str(err))
            group.create_task(
                run_workers(self.queue, self._sync, workers=self._deps.config.workers, name="pods", log=self._log),
                name="pods",
            )

    async def _sync(self, uid: str) -> None:
        worker = self._workers_by_uid.get(uid) or await self._add_worker(uid)
        if worker is None:
            return
        if (pod := self._pods.get(uid)) is not None:
            worker.update(pod)
        elif uid in self._deleted:
            worker.update(self._deleted[uid], gone=True)
        try:
            await worker.sync()
        finally:
            if (event := self._changed.get(uid)) is not None:
                event.set()
        if worker.over:
            await self._remove_worker(uid)
        self._count()

    async def _add_worker(self, uid: str) -> PodWorker | None:
        """Give a pod its worker, which knows if this node does not take the pod. None: there is no such pod."""
        deps = self._deps
        pod = self._pods.get(uid) or self._deleted.get(uid)
        ref = self._known.get(uid)
        if ref is None and pod is not None:
            ref = PodRef(uid, pod.metadata.namespace, pod.metadata.name)
        if ref is None:
            return None
        worker = PodWorker(ref, pod, deps, self, known=uid in self._known)
        if pod is None:
            self._log.warning(
                "orphaned pod, stopping it",
                pod=ref.name,
                namespace=ref.namespace,
                uid=uid,
            )
        elif uid not in self._known and not is_terminal(pod):
            labels = deps.node_labels()
            refused = refusal(pod, self._others(uid), deps.node.allocatable, labels)
            if refused is not None and refused.reason == NODE_AFFINITY:
                # The scheduler may have seen labels that this node's informer has not: ask before refusing.
                labels = (await deps.client.get(NODES, deps.node.node_name)).metadata.labels
                refused = refusal(pod, self._others(uid), deps.node.allocatable, labels)
            refused = refused or security.refusal(pod, deps.node.security)
            if refused is not None:
                worker.reject(refused)
                deps.events.rejected(pod, refused)
        self._workers_by_uid[uid] = worker
        return worker

    def _others(self, uid: str) -> list[core_pb2.Pod]:
        """The pods that take room: those at work, and those that a kubelet before this one took."""
        pods: list[core_pb2.Pod] = []
        for other, pod in self._pods.items():
            worker = self._workers_by_uid.get(other)
            takes = _takes_room(worker) if worker is not None else other in self._known and not is_terminal(pod)
            if takes and other != uid:
                pods.append(pod)
        return pods

    async def _remove_worker(self, uid: str) -> None:
        for memory in (self._workers_by_uid, self._deleted, self._known, self._listed, self._changed):
            memory.pop(uid, None)
        self._deps.statuses.forget(uid)
        if uid in self._pods:  # the api-server's watch showed the pod after it was removed as an orphan
            self.queue.add(uid)
        if not self._deps.users.has(uid):
            return
        try:
            await asyncio.to_thread(self._deps.users.forget, uid)
        except (OSError, ConfigError) as err:
            self._log.warning("a pod's range of users is not free again", uid=uid, error=str(err))

    def _count(self) -> None:
        views = [w.state.view for w in self._workers_by_uid.values()]
        self._deps.metrics.running_pods.set(sum(1 for v in views if v.sandbox is not None and v.sandbox.ready))
        self._deps.metrics.running_containers.set(sum(len(v.running) for v in views))

    # --- the runtime's news

    async def _follow_events(self) -> None:
        while True:
            await self._runtime.wait_ready()
            for callback in self._runtime_changed:
                callback()
            self._relist_wanted.set()  # after the stream is asked for: what happens between is seen by one of the two
            try:
                async for event in self._runtime.events():
                    self._handle_event(event)
            except RuntimeFailure as err:
                if err.code is grpc.StatusCode.UNIMPLEMENTED:
                    self._log.info(
                        "the runtime has no events, it is looked at instead", seconds=self._deps.config.relist_period
                    )
                    self._has_events = False
                    self._relist_wanted.set()
                    return
                self._log.warning("container events broke off", error=str(err))
            for callback in self._runtime_changed:
                callback()  # it may be gone: the node's status says so at once
            await self._clock.sleep(RECONNECT_SECONDS)

    async def _relist_loop(self) -> None:
        """Look at everything when asked, and now and then: once a second where there are no events, or no answer."""
        config = self._deps.config
        while True:
            complete = False
            try:
                await self._relist()
                complete = True
            except RuntimeUnavailable as err:
                self._log.debug("relist failed", error=str(err))
            except RuntimeFailure as err:
                self._log.warning("relist failed", error=str(err))
            wait = config.safety_relist_period if self._has_events and complete else config.relist_period
            try:
                async with self._clock.timeout(wait):
                    await self._relist_wanted.wait()
            except TimeoutError:
                continue
            finally:
                self._relist_wanted.clear()

    async def _relist(self) -> None:
        listed = {ref.uid: (ref, states) for ref, states in (await self._runtime.relist()).items()}
        for uid in listed.keys() | self._listed.keys():
            ref, states = listed.get(uid, (None, frozenset[tuple[str, int]]()))
            if ref is not None:
                self._known.setdefault(uid, ref)
            worker = self._workers_by_uid.get(uid)
            if worker is None or states != _states(worker):
                if worker is not None:
                    worker.state.runtime.unknown()
                self.queue.add(uid)
        self._listed = {uid: states for uid, (_, states) in listed.items()}
        self.relists += 1
        self._first_relist.set()


def _states(worker: PodWorker) -> frozenset[tuple[str, int]]:
    view = worker.state.view
    sandboxes = {(s.id, int(cri.SANDBOX_READY if s.ready else cri.SANDBOX_NOTREADY)) for s in view.sandboxes}
    return frozenset({*sandboxes, *((c.id, int(c.state.value)) for c in view.containers)})


def _is_known(worker: PodWorker, event: cri.ContainerEventResponse) -> bool:
    """Say whether an event tells what the worker saw already, mostly the echo of its own calls."""
    if not worker.state.runtime.current or not event.containers_statuses:
        return False
    cached = {c.id: c.state for c in worker.state.view.containers}
    reported = {c.id: State(c.state) for c in event.containers_statuses}
    sandbox = worker.state.view.sandbox
    same_sandbox = sandbox is not None and sandbox.id == event.pod_sandbox_status.id
    ready = event.pod_sandbox_status.state == cri.SANDBOX_READY
    return cached == reported and same_sandbox and sandbox is not None and sandbox.ready == ready


def remove_orphaned_logs(root: Path, uids: Collection[str]) -> None:
    """Remove the log folders of pods that ended while no kubelet ran: ``<namespace>_<name>_<uid>``."""
    for folder in root.iterdir() if root.exists() else ():
        if folder.is_dir() and folder.name.count("_") == 2 and folder.name.rpartition("_")[2] not in uids:
            shutil.rmtree(folder, ignore_errors=True)


def _takes_room(worker: PodWorker) -> bool:
    state = worker.state
    return state.rejected is None and state.status.phase not in TERMINAL_PHASES
