"""Keeps the gate and the stored flow schemas and priority levels the same, and the objects that every cluster begins
with as they have to be (upstream: apf_controller.go, pkg/registry/flowcontrol/ensurer).

Level-triggered: a change of either kind wakes one task, which looks at everything. It tells the gate first; then it
writes what is missing, what differs and is maintained, and the condition Dangling. Every server process does so: what
another one was faster with is no error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar, cast

import structlog
from google.protobuf.message import Message

from kubelab.api.flowcontrol.v1 import flowcontrol_pb2 as pb
from kubelab.apimachinery import errors
from kubelab.apimachinery.backoff import jittered
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.scheme import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS, Resource
from kubelab.apimachinery.timestamps import to_time
from kubelab.apiserver.flowcontrol import defaultobjects
from kubelab.apiserver.flowcontrol.defaultobjects import AUTO_UPDATE, DANGLING
from kubelab.apiserver.flowcontrol.gate import Gate
from kubelab.apiserver.registry.writer import ObjectWriter
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Change, Selection

log = structlog.get_logger()

RETRY_AFTER = 1.0  # seconds
PREPARE_ROUNDS = 5
_FASTER = (errors.AlreadyExists, errors.Conflict, errors.NotFound)
Object = TypeVar("Object", pb.FlowSchema, pb.PriorityLevelConfiguration)


class FlowController:
    """Works for one server process."""

    def __init__(
        self, gate: Gate, writer: ObjectWriter, caches: Mapping[Resource[Message], ResourceCache], clock: Clock
    ) -> None:
        self._gate, self._writer, self._caches, self._clock = gate, writer, caches, clock
        self._wake = asyncio.Event()
        self._wake.set()
        for resource in (FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS):
            caches[resource].on_change(self._on_change)
            caches[resource].on_replace(self._wake.set)

    def _on_change(self, change: Change) -> None:
        del change
        self._wake.set()

    async def prepare(self, fresh: Callable[[], Awaitable[object]]) -> None:
        """Write what is missing, before the first request is answered; ``fresh`` waits until the caches have it."""
        for _ in range(PREPARE_ROUNDS):  # one for the objects, one for their status; more where others write too
            if not await self.sync():
                return
            await fresh()

    async def run(self) -> None:
        """Keep it so until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.sync()
            except errors.ApiError as err:
                log.warning("cannot keep flow control's objects", reason=err.reason, message=err.message)
                await self._clock.sleep(jittered(RETRY_AFTER))
                self._wake.set()

    async def sync(self) -> int:
        """Look at everything once; gives how many objects had to be written."""
        levels = self._stored(PRIORITY_LEVEL_CONFIGURATIONS, pb.PriorityLevelConfiguration)
        schemas = self._stored(FLOW_SCHEMAS, pb.FlowSchema)
        self._gate.configure(levels.values(), schemas.values())
        writes = [
            *self._maintain(levels, defaultobjects.LEVELS, PRIORITY_LEVEL_CONFIGURATIONS),
            *self._maintain(schemas, defaultobjects.SCHEMAS, FLOW_SCHEMAS),
        ]
        for schema in schemas.values():
            level = schema.spec.priorityLevelConfiguration.name
            told = _told(schema, self._clock.time(), exists=level in levels or level in defaultobjects.LEVELS)
            if told is not None:
                writes.append(self._writer.update(FLOW_SCHEMAS, "", schema.metadata.name, told, "status"))
        for outcome in await asyncio.gather(*writes, return_exceptions=True):
            # Another server process may have been faster; its change wakes us.
            if isinstance(outcome, BaseException) and not isinstance(outcome, _FASTER):
                raise outcome
        return len(writes)

    def _stored(self, resource: Resource[Object], kind: type[Object]) -> dict[str, Object]:
        """Read a cache, by name. The resourceVersion is that of the entry."""
        found: dict[str, Object] = {}
        for entry in self._caches[resource].select(Selection()):
            obj = kind.FromString(entry.raw)
            obj.metadata.resourceVersion = str(entry.revision)
            found[entry.name] = obj
        return found

    def _maintain(
        self, stored: Mapping[str, Object], defaults: Mapping[str, Object], resource: Resource[Object]
    ) -> Iterator[Coroutine[Any, Any, object]]:
        for name, wanted in defaults.items():
            present = stored.get(name)
            if present is None:
                made = deep_copy(wanted)
                made.metadata.annotations[AUTO_UPDATE] = "true"
                yield self._writer.create(resource, "", made)
            elif (changed := _maintained(present, wanted)) is not None:
                yield self._writer.update(resource, "", name, changed)


def _told(schema: pb.FlowSchema, now: float, *, exists: bool) -> pb.FlowSchema | None:
    """Give a schema whose status says whether its level exists, None where it does already."""
    wanted = _condition(schema.spec.priorityLevelConfiguration.name, exists=exists)
    present = next((one for one in schema.status.conditions if one.type == DANGLING), None)
    wanted.lastTransitionTime.CopyFrom(
        present.lastTransitionTime if present is not None and present.status == wanted.status else to_time(now)
    )
    if present == wanted:
        return None
    changed = deep_copy(schema)
    others = [one for one in schema.status.conditions if one.type != DANGLING]
    del changed.status.conditions[:]
    changed.status.conditions.extend([*others, wanted])
    return changed


def _maintained(present: Object, wanted: Object) -> Object | None:
    """Give an object as it is to be written, None where it may stay as it is."""
    mandatory = wanted.metadata.name in (defaultobjects.EXEMPT, defaultobjects.CATCH_ALL)
    annotation = present.metadata.annotations.get(AUTO_UPDATE)
    untouched = annotation is None and present.metadata.generation == 1
    maintained = mandatory or annotation == "true" or untouched
    spec = _merged(present, wanted)
    if not maintained or (present.spec == spec and (annotation == "true" or not mandatory)):
        return None
    changed = deep_copy(present)
    changed.spec.CopyFrom(spec)
    if mandatory or annotation is None:
        changed.metadata.annotations[AUTO_UPDATE] = "true"
    return changed


def _merged(present: Object, wanted: Object) -> Any:
    """Give the spec that an object should have. The part of the level exempt that people may change stays."""
    spec = deep_copy(wanted.spec)
    if isinstance(present, pb.PriorityLevelConfiguration) and wanted.metadata.name == defaultobjects.EXEMPT:
        cast("pb.PriorityLevelConfigurationSpec", spec).exempt.CopyFrom(present.spec.exempt)
    return spec


def _condition(level: str, *, exists: bool) -> pb.FlowSchemaCondition:
    """Upstream's words."""
    told = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    if exists:
        return pb.FlowSchemaCondition(type=DANGLING, status="False", reason="Found", message=f"{told} and it exists")
    message = f"{told} but there is no such object"
    return pb.FlowSchemaCondition(type=DANGLING, status="True", reason="NotFound", message=message)
