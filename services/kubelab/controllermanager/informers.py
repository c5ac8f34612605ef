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
from kubelab.controllermanager.customkinds import CustomKinds

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
        self._custom: dict[Resource[Message], Informer[Any]] = {}
        self._running: dict[Informer[Any], asyncio.Task[None]] = {}  # those of custom kinds
        self._group: asyncio.TaskGroup | None = None  # while it runs
        self._kinds: CustomKinds | None = None

    @property
    def custom_kinds(self) -> CustomKinds:
        """The kinds that definitions add."""
        if self._kinds is None:
            self._kinds = CustomKinds(self)
        return self._kinds

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

    def of_custom(self, resource: Resource[Message]) -> Informer[Any]:
        """Give the informer of a custom resource. Nobody waits for its first list."""
        informer = self._custom.get(resource)
        if informer is None:
            informer = Informer(self._client, resource, clock=self._clock, log=self._log)
            self._custom[resource] = informer
            if self._group is not None:
                self._start_custom(informer)
        return informer

    def drop(self, resource: Resource[Message]) -> None:
        """End the informer of a custom resource."""
        informer = self._custom.pop(resource, None)
        task = self._running.pop(informer, None) if informer is not None else None
        if task is not None:
            task.cancel()

    def deletable(self) -> list[tuple[Resource[Message], Informer[Any]]]:
        """Every resource that can be listed, watched and deleted, but events: they expire by themselves."""
        return [(r, self.of(r)) for r in scheme.ALL if {*r.verbs} >= _FOLLOWED and r is not scheme.EVENTS]

    async def run(self) -> None:
        """Keep every cache up until cancelled, also those that are asked for later."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name, informer in self._informers.items():
                self._start(name, informer)
            for informer in self._custom.values():
                self._start_custom(informer)
            await asyncio.Event().wait()

    def _start(self, name: str, informer: Informer[Any]) -> None:
        assert self._group is not None
        self._group.create_task(informer.run(), name=f"informer-{name}")

    def _start_custom(self, informer: Informer[Any]) -> None:
        assert self._group is not None
        self._running[informer] = self._group.create_task(informer.run(), name=f"informer-{informer.name}")

    async def wait_synced(self) -> None:
        """Return when every cache holds what the api-server had."""
        for informer in [*self._informers.values()]:
            await informer.wait_synced()
