"""One informer for each resource, shared by every controller of the process.

A controller declares the indexes that it reads (:mod:`kubelab.controllermanager.indexes`) when it takes the informer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.scheme import Resource
from kubelab.client.client import Client
from kubelab.client.informer import Informer

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from structlog.typing import FilteringBoundLogger

T = TypeVar("T", bound=Message)

_FOLLOWED = {"list", "watch", "delete"}


class SharedInformers:
    """Informers by resource, made when a controller first asks for one and kept up while :meth:`run` goes on."""

    def __init__(self, client: Client, *, clock: Clock, log: FilteringBoundLogger, registry: CollectorRegistry) -> None:
        self._client, self._clock, self._log, self._registry = client, clock, log, registry
        self._informers: dict[str, Informer[Any]] = {}  # by qualified name: two groups may have the same plural
        self._group: asyncio.TaskGroup | None = None  # while it runs

    def of(self, resource: Resource[T]) -> Informer[T]:
        """Give the informer of a resource."""
        informer = self._informers.get(resource.qualified)
        if informer is None:
            informer = Informer(
                self._client,
                resource,
                clock=self._clock,
                log=self._log,
                registry=self._registry,
            )
            self._informers[resource.qualified] = informer
            if self._group is not None:
                self._start(resource.qualified, informer)
        return informer

    def deletable(self) -> list[tuple[Resource[Message], Informer[Any]]]:
        """Every resource that can be listed, watched and deleted, but events: they expire by themselves."""
        return [(r, self.of(r)) for r in scheme.ALL if {*r.verbs} >= _FOLLOWED and r is not scheme.EVENTS]

    async def run(self) -> None:
        """Keep every cache up until cancelled, also those that are asked for later."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name, informer in self._informers.items():
                self._start(name, informer)
            await asyncio.Event().wait()

    def _start(self, name: str, informer: Informer[Any]) -> None:
        assert self._group is not None
        self._group.create_task(informer.run(), name=f"informer-{name}")

    async def wait_synced(self) -> None:
        """Return when every cache holds what the api-server had."""
        for informer in [*self._informers.values()]:
            await informer.wait_synced()
