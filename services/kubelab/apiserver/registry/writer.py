"""Every write, for every resource: what is common to them. What differs is the resource's strategy.

A write decides on the cached object, so that the usual one costs a single etcd transaction, which compares the
revision it decided on. Where that is stale, the transaction brings the present state back and the decision is made
again on that. An error that a cached state gave is raised only when a fresh one gives it too.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, names, scheme
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.admission.chain import NO_ADMISSION, Admission
from kubelab.apiserver.admission.namespacelifecycle import NamespaceLifecycle
from kubelab.apiserver.registry.fieldtracking import FieldTracking, keep_times
from kubelab.apiserver.registry.states import encode, state_in_store, state_of_entry
from kubelab.apiserver.resources import deletion
from kubelab.apiserver.resources.claims import NO_CLAIMS, Claims, RangeFull
from kubelab.apiserver.resources.preconditions import check_preconditions, check_unmodified
from kubelab.apiserver.resources.storage import Allocator
from kubelab.apiserver.resources.table import Resources
from kubelab.apiserver.resources.writes import Decide, Decision, ObjectState, WriteResult
from kubelab.apiserver.storage import fenced
from kubelab.apiserver.storage.eventlease import EventLease
from kubelab.apiserver.storage.store import (
    Absent,
    Condition,
    Delete,
    KeyValue,
    Operation,
    Outcome,
    Put,
    Store,
    Unchanged,
)
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Entry, Selection
from kubelab.apiserver.watchcache.reflector import Reflector

M = TypeVar("M", bound=Message)

GENERATED_NAME_TRIES = 8
SEEDED_AT_ONCE = 60  # etcd takes 128 operations in a transaction
PIECE_SECONDS = 5.0  # for a piece of a collection: a client waits longer for an answer
_VERSION_REQUIRED = errors.Cause("metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update")


class Deleted(NamedTuple):
    """What of a collection was deleted, the key after which to go on ("" at the end), and how many are left."""

    written: list[WriteResult]
    revision: int
    key: str = ""
    left: int = 0


@dataclass(slots=True)
class _Update:
    """What an update makes of a state, a new message each time, and what it warns of."""

    make: Callable[[ObjectState], Message]
    warnings: list[str]
    tracking: FieldTracking | None


class ObjectWriter:
    """Creates, changes and removes objects. Raises :mod:`kubelab.apimachinery.errors` in upstream's words."""

    def __init__(
        self,
        store: Store,
        reflector: Reflector,
        resources: Resources,
        namespaces: NamespaceLifecycle,
        event_lease: EventLease,
        clock: Clock,
    ) -> None:
        self._store, self._reflector, self._event_lease, self._clock = store, reflector, event_lease, clock
        self._namespaces = namespaces
        self._caches, self._storages = resources.caches, resources.storages

    # --- create

    async def create(
        self,
        resource: Resource[Message],
        namespace: str,
        obj: Message,
        admission: Admission = NO_ADMISSION,
        *,
        tracking: FieldTracking | None = None,
        dry_run: bool = False,
    ) -> WriteResult:
        """Store a new object; with ``dry_run`` say what would be stored. AlreadyExists, Invalid, NotFound and Forbidden
        for its namespace, Forbidden by an admission plugin, TooLarge."""
        m = meta_of(obj)
        _check_namespace(resource, namespace, m)
        if m.resourceVersion:
            raise errors.BadRequest("resourceVersion should not be set on objects to be created")
        generate_name = "" if m.name else m.generateName
        if generate_name:
            m.name = names.generate(generate_name)
        rules = self._storages[resource].strategy
        warnings = rules.warnings(obj)
        rules.default(obj)
        if tracking is not None:
            tracking.created(obj)
        active: Unchanged | None = None
        if resource.namespaced:
            active = await self._namespaces.require_active(resource, namespace, m.name)
        try:
            admission.admit(obj, None)
        except (errors.Forbidden, errors.NotFound):  # perhaps by a cache that lacks what was just created
            await self._reflector.fresh()
            admission.admit(obj, None)
        warnings = [*warnings, *admission.warnings(obj)]
        self._stamp(m)
        rules.prepare_for_create(obj)
        for left in range(GENERATED_NAME_TRIES if generate_name else 1, 0, -1):
            if causes := rules.validate(obj):
                raise errors.invalid(resource.kind, m.name, causes, resource.group)
            admission.validate(obj, None)
            try:
                return await self._insert_alone(resource, obj, active, warnings, admission, dry_run=dry_run)
            except errors.AlreadyExists:
                if left == 1:
                    raise
                m.name = names.generate(generate_name)
        raise AssertionError("unreachable")

    async def seed(self, objects: Iterable[Message]) -> None:
        """Store new objects of the api-server's own, many in a transaction, and leave what is there already. They are
        complete, and their namespaces exist."""
        missing: dict[str, bytes] = {}
        for one in objects:
            resource, obj = scheme.of_object(one), deep_copy(one)
            self._storages[resource].strategy.default(obj)
            self._stamp(m := meta_of(obj))
            cache = self._caches[resource]
            missing[cache.key(m.namespace, m.name)] = cache.kind.envelope.seal(encode(obj))
        while missing:
            keys = list(missing)[:SEEDED_AT_ONCE]
            outcome = await self._store.transact(
                [Absent(key) for key in keys], [Put(key, missing[key]) for key in keys]
            )
            for key in keys:
                if outcome.succeeded or outcome.current[key] is not None:
                    del missing[key]

    async def preview(
        self, resource: Resource[Message], namespace: str, obj: Message, admission: Admission = NO_ADMISSION
    ) -> Message:
        """Give a new object as webhooks get it that may change it: with its name, defaults, and what admission plugins
        fill in. Forbidden by an admission plugin."""
        obj = deep_copy(obj)
        m = meta_of(obj)
        _check_namespace(resource, namespace, m)
        if not m.name and m.generateName:
            m.name = names.generate(m.generateName)
        self._storages[resource].strategy.default(obj)
        try:
            admission.admit(obj, None)
        except (errors.Forbidden, errors.NotFound):
            await self._reflector.fresh()
            admission.admit(obj, None)
        return obj

    def _stamp(self, m: meta_pb2.ObjectMeta) -> None:
        m.uid = str(uuid.uuid4())
        m.creationTimestamp.Clear()
        m.creationTimestamp.seconds = int(self._clock.time())
        m.ClearField("deletionTimestamp")
        m.ClearField("deletionGracePeriodSeconds")

    async def _insert_alone(
        self,
        resource: Resource[Message],
        obj: Message,
        active: Unchanged | None,
        warnings: Sequence[str],
        admission: Admission,
        *,
        dry_run: bool,
    ) -> WriteResult:
        """Store an object, holding the lock of its admission if that has one."""
        lock = admission.lock()
        if lock is None:
            return await self._insert(resource, obj, active, warnings, admission, dry_run=dry_run)
        async with lock:
            return await self._insert(resource, obj, active, warnings, admission, dry_run=dry_run)

    async def _reserve(self, admission: Admission, obj: Message) -> Claims:
        """Reserve what an object takes besides. It is refused only after a fresh look."""
        try:
            return admission.reserve(obj, None)
        except errors.Forbidden:
            await self._reflector.fresh()
            return admission.reserve(obj, None)

    async def _insert(
        self,
        resource: Resource[Message],
        obj: Message,
        active: Unchanged | None,
        warnings: Sequence[str],
        admission: Admission,
        *,
        dry_run: bool,
    ) -> WriteResult:
        """Store an object that is complete. ``active`` is the condition that its namespace stays as it is."""
        storage, cache, m = self._storages[resource], self._caches[resource], meta_of(obj)
        key = cache.key(m.namespace, m.name)
        taken: set[str] = set()
        pristine = obj
        while True:
            claims = NO_CLAIMS
            if storage.allocator is not None:
                obj, claims = await self._claim(storage.allocator, pristine, taken)
            reserved = await self._reserve(admission, obj)
            raw = encode(obj)
            if dry_run:
                existing = await self._store.range(key)
                if existing.items:
                    raise _already_there(cache, m.name, existing.items[0])
                return WriteResult(obj, cache.kind.envelope.any(raw, 0)[0], 0, warnings)
            lease = await self._event_lease.current() if storage.expires else 0
            conditions: list[Condition] = [Absent(key), *claims.conditions, *reserved.conditions]
            if active is not None:
                conditions.append(active)
            operations: list[Operation] = [Put(key, cache.kind.envelope.seal(raw), lease), *claims.operations]
            operations += reserved.operations
            operations += storage.companions(obj, m.namespace, m.name)
            outcome = await self._store.transact(conditions, operations)
            if reserved is not NO_CLAIMS:
                admission.learn(_now(reserved, outcome), outcome.revision)
            if outcome.succeeded:
                return WriteResult(obj, cache.kind.envelope.any(raw, outcome.revision)[0], outcome.revision, warnings)
            if (existing := outcome.current[key]) is not None:
                raise _already_there(cache, m.name, existing)
            taken |= _occupied(claims, outcome.current)
            if active is not None:
                current = outcome.current[active.key]
                active = self._namespaces.still_active(resource, m.namespace, m.name, current)

    async def _claim(self, allocator: Allocator, pristine: M, taken: set[str]) -> tuple[M, Claims]:
        """Give a copy of an object what it claims. A range counts as full only after a fresh look."""
        obj = deep_copy(pristine)
        try:
            return obj, allocator.claim(obj, None, taken)
        except RangeFull:
            await self._reflector.fresh()
            obj = deep_copy(pristine)
            return obj, _claim_more(allocator, obj, None, taken)

    # --- update

    async def update(
        self,
        resource: Resource[Message],
        namespace: str,
        name: str,
        obj: Message,
        subresource: str = "",
        admission: Admission = NO_ADMISSION,
        *,
        tracking: FieldTracking | None = None,
        dry_run: bool = False,
    ) -> WriteResult:
        """Replace an object, or with ``subresource`` status or finalize that part of it. NotFound, Conflict,
        Invalid, Forbidden by an admission plugin."""
        _check_namespace(resource, namespace, meta_of(obj))
        rules = self._storages[resource].strategy
        warnings: list[str] = []
        if not subresource:
            if rules.warns_of_updates:
                warnings = rules.warnings(obj)
            rules.default(obj)
        change = _Update(lambda current: deep_copy(obj), warnings, tracking)
        return await self._change(resource, namespace, name, change, subresource, admission, dry_run=dry_run)

    async def patch(
        self,
        resource: Resource[Message],
        namespace: str,
        name: str,
        patched: Callable[[ObjectState], Message],
        subresource: str = "",
        admission: Admission = NO_ADMISSION,
        *,
        tracking: FieldTracking | None = None,
        dry_run: bool = False,
    ) -> WriteResult:
        """Change an object, or a part of it, by a function of its state: what that raises, and as for an update.

        Without ``tracking`` the function says itself who manages which fields.
        """
        rules = self._storages[resource].strategy

        def make(current: ObjectState) -> Message:
            obj = patched(current)
            if not subresource:
                change.warnings = rules.warnings(obj) if rules.warns_of_updates else []
                rules.default(obj)
            if tracking is None:
                keep_times(obj, current.obj)
            return obj

        change = _Update(make, [], tracking)
        return await self._change(resource, namespace, name, change, subresource, admission, dry_run=dry_run)

    async def _change(
        self,
        resource: Resource[Message],
        namespace: str,
        name: str,
        change: _Update,
        subresource: str,
        admission: Admission,
        *,
        dry_run: bool,
    ) -> WriteResult:
        storage = self._storages[resource]
        rules, allocator = storage.strategy, storage.allocator
        part = storage.subresources[subresource].part if subresource else None
        as_before, told = False, list[str]()

        def decide(current: ObjectState, taken: set[str]) -> Decision:
            nonlocal as_before, told
            new, old = change.make(current), current.obj
            if change.tracking is not None and not subresource:
                change.tracking.updated(new, old)
            admission.admit(new, old)
            check_unmodified(resource, name, m := meta_of(new), current)
            if not (m.resourceVersion or rules.unconditional_update):
                raise errors.invalid(resource.plural, name, [_VERSION_REQUIRED], resource.group)
            _keep_system_metadata(m, meta_of(old))
            if part is not None:
                new = part(new, old)
                causes: list[errors.Cause] = []
            elif subresource:
                managers = list(meta_of(new).managedFields)
                rules.prepare_for_status_update(new, old)
                if change.tracking is not None:
                    change.tracking.updated(new, old)
                else:
                    _set_managers(meta_of(new), managers)
                causes = rules.validate_status_update(new, old)
            else:
                if allocator is not None:
                    allocator.keep(new, old)
                rules.prepare_for_update(new, old)
                causes = rules.validate_update(new, old)
            if causes:
                raise errors.invalid(resource.kind, name, causes, resource.group)
            admission.validate(new, old)
            told = [] if subresource else [*change.warnings, *admission.warnings(new)]
            reserved = admission.reserve(new, old)
            as_before = rules.has_generation and meta_of(new).generation == meta_of(old).generation
            if storage.finished(new):  # this update took off the last thing its deletion waited for
                return Decision(None, _release(allocator, old))
            if allocator is not None and not subresource:
                reserved = reserved.also(_claim_more(allocator, new, old, taken))
            return Decision(new, reserved)

        written = await self.rewrite(resource, namespace, name, decide, admission, dry_run=dry_run)
        return written if as_before or not told else written._replace(warnings=told)

    async def rewrite(
        self,
        resource: Resource[Message],
        namespace: str,
        name: str,
        decide: Decide,
        admission: Admission = NO_ADMISSION,
        *,
        dry_run: bool = False,
    ) -> WriteResult:
        """Change one object by a decision that may be made several times, on ever fresher states. ``admission`` learns
        what became of its claims. A ``dry_run`` decides on the present state and writes nothing."""
        cache, storage = self._caches[resource], self._storages[resource]
        key = cache.key(namespace, name)
        envelope = cache.kind.envelope
        entry = cache.entries.get(key)
        live = entry is None or dry_run
        current = await self._read(cache, key) if entry is None or dry_run else state_of_entry(cache, entry)
        taken: set[str] = set()
        while True:
            if current is None:
                raise errors.not_found(resource.plural, name, resource.group)
            try:
                decision = decide(current, taken)
            except errors.ApiError:
                if live:
                    raise
                await self._reflector.fresh()
                current, live = await self._read(cache, key), True
                continue
            raw = encode(decision.obj) if decision.obj is not None else b""
            if decision.obj is not None and raw == current.raw:
                if live:
                    return WriteResult(decision.obj, envelope.any(raw, current.revision)[0], current.revision)
                current, live = await self._read(cache, key), True
                continue
            if dry_run:
                left, removed = (decision.obj, False) if decision.obj is not None else (current.obj, True)
                packed = envelope.any(raw or current.raw, current.revision)[0]
                return WriteResult(left, packed, current.revision, removed=removed)
            operations: list[Operation] = [Put(key, envelope.seal(raw)) if decision.obj is not None else Delete(key)]
            if decision.obj is not None and storage.expires:
                operations = [Put(key, envelope.seal(raw), await self._event_lease.current())]
            operations += storage.companions(decision.obj, namespace, name)
            conditions: list[Condition] = [Unchanged(key, current.revision), *decision.claims.conditions]
            outcome = await self._store.transact(conditions, [*operations, *decision.claims.operations])
            if decision.claims is not NO_CLAIMS:
                admission.learn(_now(decision.claims, outcome), outcome.revision)
            if outcome.succeeded:
                left, removed = (decision.obj, False) if decision.obj is not None else (current.obj, True)
                packed = envelope.any(raw or current.raw, outcome.revision)[0]
                return WriteResult(left, packed, outcome.revision, removed=removed)
            taken |= _occupied(decision.claims, outcome.current)
            current, live = state_in_store(cache, outcome.current[key]), True

    async def _read(self, cache: ResourceCache, key: str) -> ObjectState | None:
        page = await self._store.range(key)
        return state_in_store(cache, page.items[0] if page.items else None)

    # --- delete

    async def delete(
        self,
        resource: Resource[Message],
        namespace: str,
        name: str,
        options: meta_pb2.DeleteOptions,
        admission: Admission = NO_ADMISSION,
        *,
        dry_run: bool = False,
    ) -> WriteResult:
        """Begin or complete a deletion. NotFound, Conflict when a precondition does not hold, Forbidden for what the
        system needs. The answer is the object's last state."""
        deletion.check_options(options)
        storage = self._storages[resource]
        rules, allocator = storage.strategy, storage.allocator

        def decide(current: ObjectState, taken: set[str]) -> Decision:
            del taken
            admission.admit(None, current.obj)
            admission.validate(None, current.obj)
            check_preconditions(resource, name, options, current)
            obj = deep_copy(current.obj)
            verdict = storage.decide_deletion(obj, options, rules, self._clock.time())
            if verdict is deletion.DeletionStep.NOTHING:
                return Decision(current.obj)
            if verdict is deletion.DeletionStep.MARK:
                return Decision(obj)
            return Decision(None, _release(allocator, current.obj))

        return await self.rewrite(resource, namespace, name, decide, dry_run=dry_run)

    async def delete_collection(
        self,
        resource: Resource[Message],
        selection: Selection,
        options: meta_pb2.DeleteOptions,
        admission: Admission = NO_ADMISSION,
        *,
        limit: int = 0,
        after: str = "",
        dry_run: bool = False,
        before: Callable[[Entry], Awaitable[None]] | None = None,
    ) -> Deleted:
        """Delete all that match and come after a key, one by one; an object that another client deletes meanwhile is no
        error. ``before`` is called for each one before its deletion, and may refuse that.

        With a ``limit`` it ends after so many, or after some seconds, and says where to go on.
        """
        await self._reflector.fresh()
        cache = self._caches[resource]
        began = self._clock.monotonic()
        done: list[WriteResult] = []
        chosen = list(cache.select(selection, after))
        for number, entry in enumerate(chosen):
            if limit and number and (number >= limit or self._clock.monotonic() - began > PIECE_SECONDS):
                return Deleted(done, self._reflector.revision, chosen[number - 1].key, len(chosen) - number)
            one = deep_copy(options)
            one.preconditions.uid = entry.uid
            if before is not None:
                await before(entry)
            try:
                done.append(await self.delete(resource, entry.namespace, entry.name, one, admission, dry_run=dry_run))
            except (errors.NotFound, errors.Conflict) as err:
                # A leader gets the error: perhaps it does not lead any more.
                if isinstance(err, errors.Conflict) and fenced.FENCE.get() is not None:
                    raise
        return Deleted(done, self._reflector.revision)


def _claim_more(allocator: Allocator, obj: Message, old: Message | None, taken: set[str]) -> Claims:
    try:
        return allocator.claim(obj, old, taken)
    except RangeFull as err:
        raise errors.InternalError(f"Internal error occurred: {err}") from err


def _release(allocator: Allocator | None, obj: Message) -> Claims:
    return NO_CLAIMS if allocator is None else allocator.release(obj)


def _already_there(cache: ResourceCache, name: str, existing: KeyValue) -> errors.AlreadyExists:
    """Upstream's words for a name that is taken; they say so when its object is about to go."""
    resource, envelope = cache.kind.resource, cache.kind.envelope
    err = errors.already_exists(resource.plural, name, resource.group)
    try:
        going = meta_of(envelope.decode(envelope.open(existing.value))).HasField("deletionTimestamp")
    except ValueError:
        going = False  # it is no object that could go
    if not going:
        return err
    message = f"object is being deleted: {err.message}"
    return errors.AlreadyExists(message, name=name, group=resource.group, kind=resource.plural)


def _check_namespace(resource: Resource[Message], namespace: str, m: meta_pb2.ObjectMeta) -> None:
    if not resource.namespaced:
        m.ClearField("namespace")
        return
    if not namespace:
        raise errors.BadRequest("an empty namespace may not be set during creation")
    m.namespace = namespace


def _keep_system_metadata(m: meta_pb2.ObjectMeta, old: meta_pb2.ObjectMeta) -> None:
    """Keep what only the api-server sets, whatever a client sends."""
    m.ClearField("resourceVersion")
    m.uid, m.generation = old.uid, old.generation
    for field in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        m.ClearField(field)
    m.MergeFrom(
        meta_pb2.ObjectMeta(
            creationTimestamp=old.creationTimestamp if old.HasField("creationTimestamp") else None,
            deletionTimestamp=old.deletionTimestamp if old.HasField("deletionTimestamp") else None,
            deletionGracePeriodSeconds=(
                old.deletionGracePeriodSeconds if old.HasField("deletionGracePeriodSeconds") else None
            ),
        )
    )


def _set_managers(m: meta_pb2.ObjectMeta, entries: Sequence[meta_pb2.ManagedFieldsEntry]) -> None:
    if entries or m.managedFields:
        m.ClearField("managedFields")
        m.managedFields.extend(entries)


def _occupied(claims: Claims, current: Mapping[str, KeyValue | None]) -> set[str]:
    """Give the claimed records that another object holds already."""
    return {c.key for c in claims.conditions if isinstance(c, Absent) and current.get(c.key) is not None}


def _now(claims: Claims, outcome: Outcome) -> Mapping[str, KeyValue | None]:
    """Give what the keys of claims hold after a transaction, done or refused."""
    if not outcome.succeeded:
        keys = {condition.key for condition in claims.conditions}
        return {key: kv for key, kv in outcome.current.items() if key in keys}
    return {
        operation.key: KeyValue(operation.key, operation.value, outcome.revision)
        if isinstance(operation, Put)
        else None
        for operation in claims.operations
    }
