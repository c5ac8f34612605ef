"""Serves what CustomResourceDefinitions define, from when they are made until they are gone.

Every api-server follows the definitions in its cache and does the same: it finds out whether the names are free, serves
the versions, writes the conditions, and empties a kind whose definition is being deleted. Writes of several servers
meet in the store, where the later one finds nothing left to change. Serial: one task.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import cast

import structlog
from google.protobuf.message import Message

from kubelab.api.apiextensions.v1 import apiextensions_pb2 as pb
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import ExponentialBackoff
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import CUSTOM_RESOURCE_DEFINITIONS, Resource
from kubelab.apiserver.customresources import naming
from kubelab.apiserver.customresources.kinds import storages_of
from kubelab.apiserver.registry.writer import ObjectWriter
from kubelab.apiserver.resources import deletion
from kubelab.apiserver.resources.apiextensions.customresourcedefinitions import conditions
from kubelab.apiserver.resources.storage import ResourceStorage
from kubelab.apiserver.resources.table import Resources
from kubelab.apiserver.resources.writes import Decision, ObjectState
from kubelab.apiserver.watchcache.changes import Change, Selection
from kubelab.apiserver.watchcache.reflector import Reflector

log = structlog.get_logger()

RETRY = ExponentialBackoff(0.1, 5.0)
EXPECTED_WITHIN = 5.0  # seconds that a request waits for a kind that is established
FORGET_AFTER = 60.0  # seconds in which requests that found a version end
_PIECE = 500
Replace = Callable[[Sequence[Resource[Message]], Sequence[ResourceStorage]], Awaitable[None]]


@dataclass(slots=True)
class _Served:
    """What is served of one definition. ``definition`` is what of it the versions were made of."""

    definition: bytes
    versions: list[Resource[Message]]
    stored: Resource[Message]


class CustomResources:
    """Keeps the registry in step with the definitions. ``replace`` serves versions of a kind in place of others."""

    def __init__(
        self, writer: ObjectWriter, resources: Resources, reflector: Reflector, replace: Replace, clock: Clock
    ) -> None:
        self._writer, self._resources, self._reflector = writer, resources, reflector
        self._replace, self._clock = replace, clock
        self._definitions = resources.caches[CUSTOM_RESOURCE_DEFINITIONS]
        self._served: dict[str, _Served] = {}
        self._terminating: set[str] = set()
        self._changed: dict[str, None] = {}
        self._failures: dict[str, int] = {}
        self._retired: asyncio.Queue[Resource[Message]] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._definitions.on_change(self._on_change)
        self._synced = asyncio.Condition()
        resources.expected = self.expected

    async def start(self) -> None:
        """Serve what is defined already."""
        for entry in list(self._definitions.entries.values()):
            crd = pb.CustomResourceDefinition.FromString(entry.raw)
            if is_terminating(crd):
                self._terminating.add(entry.name)
            self._note(entry.name)
            try:
                await self._serve(crd)
            except errors.ApiError as err:
                log.warning("cannot serve a definition yet", name=entry.name, error=err.message)

    async def expected(self, group: str, plural: str) -> bool:
        """Wait for a kind that is established, so that a client that saw the condition finds it served.

        Says whether it is served.
        """
        name = f"{plural}.{group}"
        if "." not in group or name in self._served:
            return False
        await self._reflector.fresh()
        entry = self._definitions.get("", name)
        if entry is None or not conditions.is_true(
            pb.CustomResourceDefinition.FromString(entry.raw), conditions.ESTABLISHED
        ):
            return name in self._served
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(EXPECTED_WITHIN), self._synced:
                await self._synced.wait_for(lambda: name in self._served)
        return name in self._served

    async def run(self) -> None:
        """Follow the definitions until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(group), name="definitions")
            group.create_task(self._forget(group), name="retired-versions")

    def _on_change(self, change: Change) -> None:
        entry = change.entry or change.previous
        assert entry is not None
        if change.entry is not None and is_terminating(pb.CustomResourceDefinition.FromString(entry.raw)):
            self._terminating.add(entry.name)
        else:
            self._terminating.discard(entry.name)
        self._failures.pop(entry.name, None)
        self._note(entry.name)

    def _note(self, name: str) -> None:
        self._changed[name] = None
        self._wake.set()

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._changed:
                name = next(iter(self._changed))
                del self._changed[name]
                try:
                    await self._sync(name)
                    async with self._synced:
                        self._synced.notify_all()
                    self._failures.pop(name, None)
                except errors.ApiError as err:
                    attempt = self._failures[name] = self._failures.get(name, 0) + 1
                    log.warning("cannot follow a definition, will try again", name=name, error=err.message)
                    group.create_task(self._later(name, RETRY.delay(attempt)))

    async def _later(self, name: str, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._note(name)

    async def _sync(self, name: str) -> None:
        entry = self._definitions.get("", name)
        if entry is None:
            await self._stop(name)
            for other in self._definitions.entries.values():  # their names may be free now
                self._note_if_refused(other.raw)
            return
        crd = pb.CustomResourceDefinition.FromString(entry.raw)
        await self._serve(crd)
        if is_terminating(crd):
            await self._empty(crd)
        else:
            await self._write_status(crd)

    def _note_if_refused(self, raw: bytes) -> None:
        crd = pb.CustomResourceDefinition.FromString(raw)
        if not conditions.is_true(crd, conditions.NAMES_ACCEPTED):
            self._note(crd.metadata.name)

    def _others(self, crd: pb.CustomResourceDefinition) -> list[pb.CustomResourceDefinition]:
        """Give the definitions of the same group."""
        end = f".{crd.spec.group}"
        entries = [e for e in self._definitions.entries.values() if e.name.endswith(end)]
        return [pb.CustomResourceDefinition.FromString(e.raw) for e in entries]

    # --- serving

    async def _serve(self, crd: pb.CustomResourceDefinition) -> None:
        """Serve the versions of a definition whose names are accepted, as they are defined now."""
        name = crd.metadata.name
        accepted = deep_copy(crd)
        naming.accept(accepted, self._others(crd), self._clock.time())
        if not conditions.is_true(accepted, conditions.ESTABLISHED):
            return
        names = accepted.status.acceptedNames
        definition = crd.spec.SerializeToString(deterministic=True) + names.SerializeToString(deterministic=True)
        served = self._served.get(name)
        if served is not None and served.definition == definition:
            return
        storages = storages_of(accepted, lambda: name in self._terminating)
        retired = served.versions if served is not None else []
        try:
            await self._replace(retired, storages)
        except ValueError as err:
            log.warning("cannot serve a definition", name=name, error=str(err))
            return
        stored = next(v.name for v in crd.spec.versions if v.storage)
        versions = [one.resource for one in storages]
        self._served[name] = _Served(definition, versions, next(r for r in versions if r.version == stored))
        for resource in retired:
            self._retired.put_nowait(resource)
        cache = self._resources.caches[self._served[name].stored]
        cache.on_change(lambda _: self._note(name) if name in self._terminating else None)
        log.info("serving a custom resource", name=name, versions=[r.version for r in versions])

    async def _stop(self, name: str) -> None:
        served = self._served.pop(name, None)
        if served is None:
            return
        await self._replace(served.versions, [])
        for resource in served.versions:
            self._retired.put_nowait(resource)
        log.info("a custom resource is gone", name=name)

    async def _forget(self, group: asyncio.TaskGroup) -> None:
        while True:
            group.create_task(self._forget_later(await self._retired.get()))

    async def _forget_later(self, resource: Resource[Message]) -> None:
        await self._clock.sleep(FORGET_AFTER)
        self._resources.forget(resource)

    # --- writing

    async def _write_status(self, crd: pb.CustomResourceDefinition) -> None:
        checked = deep_copy(crd)
        naming.accept(checked, self._others(crd), self._clock.time())
        if checked.status == crd.status:
            return

        def decide(state: ObjectState, taken: set[str]) -> Decision:
            del taken
            fresh = deep_copy(cast(pb.CustomResourceDefinition, state.obj))
            naming.accept(fresh, self._others(fresh), self._clock.time())
            return Decision(fresh)

        await self._rewrite(crd.metadata.name, decide)

    async def _rewrite(self, name: str, decide: Callable[[ObjectState, set[str]], Decision]) -> None:
        try:
            await self._writer.rewrite(CUSTOM_RESOURCE_DEFINITIONS, "", name, decide)
        except errors.NotFound:
            return  # it is gone, which is told besides

    async def _empty(self, crd: pb.CustomResourceDefinition) -> None:
        """Delete the objects of a definition that is being deleted; the last one lets the definition go."""
        name, served = crd.metadata.name, self._served.get(crd.metadata.name)
        if conditions.FINALIZER not in crd.metadata.finalizers:
            return
        if served is None:  # its names were never accepted, so there are none
            await self._rewrite(name, self._let_go)
            return
        found = conditions.find(crd, conditions.TERMINATING)
        if found is None or found.reason == "InstanceDeletionPending":
            await self._rewrite(name, self._in_progress)
        after = ""
        while True:
            done = await self._writer.delete_collection(
                served.stored, Selection(), meta_pb2.DeleteOptions(), limit=_PIECE, after=after
            )
            after = done.key
            if not after:
                break
        await self._reflector.fresh()
        if not self._resources.caches[served.stored].entries:
            await self._rewrite(name, self._let_go)

    def _in_progress(self, state: ObjectState, taken: set[str]) -> Decision:
        del taken
        crd = deep_copy(cast(pb.CustomResourceDefinition, state.obj))
        message, now = "CustomResource deletion is in progress", self._clock.time()
        conditions.put(crd, conditions.TERMINATING, "True", "InstanceDeletionInProgress", message, now)
        return Decision(crd)

    def _let_go(self, state: ObjectState, taken: set[str]) -> Decision:
        del taken
        crd = deep_copy(cast(pb.CustomResourceDefinition, state.obj))
        if conditions.FINALIZER in crd.metadata.finalizers:
            crd.metadata.finalizers.remove(conditions.FINALIZER)
        message, now = "removed all instances", self._clock.time()
        conditions.put(crd, conditions.TERMINATING, "False", "InstanceDeletionCompleted", message, now)
        return Decision(None if deletion.finished(crd) else crd)
