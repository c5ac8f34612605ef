"""The config maps and secrets that the pods of this node refer to, watched one by one.

A node may read single objects, and only those that its pods name (the Node authoriser), so each gets a watch of its
own, shared by all pods that name it, for as long as one of them is here. What a watch brings wakes these pods.

What is serial: the tables change in the event loop, without a wait in between. What is parallel: the watches, which
belong to the task group of :meth:`WatchedObjects.run`; cancelling that ends them. https://kubernetes.io/docs/concepts/
configuration/configmap/#mounted-configmaps-are-updated-automatically (upstream: ``pkg/kubelet/util/manager``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from google.protobuf.message import Message
from structlog.typing import FilteringBoundLogger

from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.scheme import Resource
from kubelab.client.client import Client
from kubelab.client.informer import Informer
from kubelab.kubelet.volumes.errors import VolumeError

SYNC_SECONDS = 5.0
"""A watch that has begun by then is waited for."""


class Reference(NamedTuple):
    """One object that a pod names."""

    resource: Resource[Message]
    namespace: str
    name: str


@dataclass(slots=True)
class _Watched:
    informer: Informer[Message]
    users: set[str] = field(default_factory=set[str])
    task: asyncio.Task[None] | None = None


class WatchedObjects:
    """See the module."""

    def __init__(self, client: Client, *, clock: Clock, log: FilteringBoundLogger) -> None:
        self._client, self._clock, self._log = client, clock, log
        self._watched: dict[Reference, _Watched] = {}
        self._by_user: dict[str, frozenset[Reference]] = {}
        self._changed: list[Callable[[str], None]] = []
        self._group: asyncio.TaskGroup | None = None

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call this with the uid of each pod that names an object that changed."""
        self._changed.append(callback)

    def __len__(self) -> int:
        return len(self._watched)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for watched in self._watched.values():
                self._start(watched)
            await asyncio.Event().wait()  # until cancelled

    def use(self, uid: str, references: Collection[Reference]) -> None:
        """Watch what a pod names from now on; what no pod names any more is watched no longer."""
        wanted, before = frozenset(references), self._by_user.get(uid, frozenset())
        for reference in wanted - before:
            watched = self._watched.get(reference)
            if watched is None:
                watched = self._watched[reference] = self._watch(reference)
            watched.users.add(uid)
        for reference in before - wanted:
            watched = self._watched[reference]
            watched.users.discard(uid)
            if not watched.users:
                del self._watched[reference]
                if watched.task is not None:
                    watched.task.cancel()
        if wanted:
            self._by_user[uid] = wanted
        else:
            self._by_user.pop(uid, None)

    async def get(self, reference: Reference) -> Message | None:
        """Find an object that is :meth:`use`-d; None where there is none.

        A copy that lags behind is made good by the change that follows; that there is none is asked once more, since
        the watch may not have told yet. ApiErrors are the api-server's; VolumeError where the watch does not begin.
        """
        informer = self._watched[reference].informer
        try:
            async with self._clock.timeout(SYNC_SECONDS):
                await informer.wait_synced()
        except TimeoutError:
            kind = reference.resource.kind.lower()
            raise VolumeError(f"failed to sync {kind} cache: timed out waiting for the condition") from None
        found = informer.get(f"{reference.namespace}/{reference.name}")
        if found is not None:
            return found
        try:
            return await self._client.get(reference.resource, reference.name, reference.namespace)
        except errors.NotFound:
            return None

    def _watch(self, reference: Reference) -> _Watched:
        informer = Informer(
            self._client,
            reference.resource,
            namespace=reference.namespace,
            field_selector=f"metadata.name={reference.name}",
            clock=self._clock,
            log=self._log,
        )
        watched = _Watched(informer)

        def tell(*_: Message) -> None:
            if informer.synced:  # the first list is what get() waits for
                for uid in tuple(watched.users):
                    for callback in self._changed:
                        callback(uid)

        informer.add_handler(on_add=tell, on_update=tell, on_delete=tell)
        if self._group is not None:
            self._start(watched)
        return watched

    def _start(self, watched: _Watched) -> None:
        assert self._group is not None, "run() comes first"
        watched.task = self._group.create_task(watched.informer.run(), name=f"watch-{watched.informer.name}")
