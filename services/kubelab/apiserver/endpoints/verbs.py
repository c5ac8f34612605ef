"""The verbs, for every resource. No rule about any resource lives here, and nothing about a transport."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias, TypeVar

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.patch.types import PatchType
from kubelab.apimachinery.rbac.rules import Rule
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.admission.policies.dispatch import Policies
from kubelab.apiserver.admission.requests import Reviews
from kubelab.apiserver.admission.webhooks.dispatch import Review, Webhooks
from kubelab.apiserver.authz.authorizer import Authorizer
from kubelab.apiserver.endpoints import applying, patching, writeoptions
from kubelab.apiserver.endpoints.applying import Applier
from kubelab.apiserver.endpoints.decoding import GroupVersionKind, check_known, kind_of
from kubelab.apiserver.endpoints.handler import RequestHandler, method_not_allowed
from kubelab.apiserver.endpoints.reviewing import Reviewing
from kubelab.apiserver.registry.fieldtracking import FieldTracking
from kubelab.apiserver.registry.reader import ObjectList, ObjectReader
from kubelab.apiserver.registry.writer import ObjectWriter
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.subresource import Action, Subresource
from kubelab.apiserver.resources.writes import Decide, ObjectState, WriteResult
from kubelab.apiserver.watchcache.changes import AnsweredEntry, Change, Entry
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import User
from kubelab.rpc import tracing

R = TypeVar("R")
PATCH_TRIES = 5
SUBRESOURCE_TRIES = 50  # at a conflict somebody else has succeeded: so many may scale at the same time

Answer: TypeAlias = Entry | WriteResult | Message
"""One object: as the cache has it, as a write left it, or a message of its own."""


class Collection(NamedTuple):
    """What a deletion of many objects has done, and how it goes on."""

    metadata: meta_pb2.ListMeta
    deleted: list[WriteResult]


@dataclass(frozen=True, slots=True)
class StoredObjects:
    """What actions may do with stored objects. In a dry run nothing is written."""

    reader: ObjectReader
    writer: ObjectWriter
    authorizer: Authorizer
    clock: Clock
    dry_run: bool = False

    async def entry(self, resource: Resource[Message], namespace: str, name: str) -> Entry:
        return await self.reader.entry(resource, namespace, name)

    async def entries(self, resource: Resource[Message], namespace: str) -> Sequence[Entry]:
        return (await self.reader.list(resource, namespace, meta_pb2.ListOptions())).entries

    async def delete(
        self, resource: Resource[Message], namespace: str, name: str, options: meta_pb2.DeleteOptions
    ) -> WriteResult:
        dry_run = self.dry_run or bool(options.dryRun)
        return await self.writer.delete(resource, namespace, name, options, dry_run=dry_run)

    async def decide(self, a: Attributes) -> tuple[bool, str]:
        return await self.authorizer.decide(a)

    async def rules_of(self, user: User, namespace: str) -> Sequence[Rule]:
        return await self.authorizer.rules_of(user, namespace)

    async def rewrite(self, resource: Resource[Message], namespace: str, name: str, decide: Decide) -> WriteResult:
        return await self.writer.rewrite(resource, namespace, name, decide, dry_run=self.dry_run)


class Endpoints:
    """Does what requests ask. Every method raises :mod:`kubelab.apimachinery.errors`.

    Reads hand what they found to ``encode``, so that the front's part of the work is measured and audited too.
    """

    def __init__(
        self,
        handler: RequestHandler,
        reader: ObjectReader,
        writer: ObjectWriter,
        authorizer: Authorizer,
        reviews: Reviews,
        webhooks: Webhooks,
        policies: Policies,
        clock: Clock,
    ) -> None:
        self._handler, self._reader, self._writer = handler, reader, writer
        self._reviews, self._webhooks, self._policies = reviews, webhooks, policies
        self._reviewing = Reviewing(writer)
        self._authorizer, self._clock = authorizer, clock

    async def get(self, request: Request, options: meta_pb2.GetOptions, encode: Callable[[Answer], R]) -> R:
        """Read one object; of a subresource what it gives."""
        async with self._handler.handling(request) as subresource:
            if subresource is not None and subresource.get is not None:
                answer = await subresource.get(self._objects(request), request)
                return encode(answer if request.path.subresource else AnsweredEntry(answer))
            _require_object(request, subresource)
            return encode(
                await self._reader.entry(request.resource, request.namespace, request.name, options.resourceVersion)
            )

    @contextlib.asynccontextmanager
    async def listing(self, request: Request, options: meta_pb2.ListOptions) -> AsyncGenerator[ObjectList]:
        """Read a collection, or a piece of it, for the body."""
        async with self._handler.handling(request) as actions:
            if actions is not None and actions.list is not None:
                objects = await actions.list(self._objects(request), request)
                yield ObjectList(request.resource, [AnsweredEntry(one) for one in objects], 0)
            else:
                yield await self._reader.list(request.resource, request.namespace, options)

    def hold_answer(self, request: Request, size: int) -> Callable[[object], None]:
        """Count an answer until the function that this gives is called. TooManyRequests when too much is not taken."""
        self._handler.hold_answer(request, size)

        def taken(context: object) -> None:
            del context
            self._handler.answer_taken(request)

        return taken

    @contextlib.asynccontextmanager
    async def watching(
        self, request: Request, options: meta_pb2.ListOptions
    ) -> AsyncGenerator[AsyncGenerator[tuple[int, Change | int]]]:
        """Begin to follow a collection; the body gets what :meth:`watch` yields."""
        async with self._handler.handling(request):
            events = await self._reader.watch(request.resource, request.namespace, options)
            self._handler.leave_seat(request)
            try:
                yield events
            finally:
                await events.aclose()

    async def watch(self, request: Request, options: meta_pb2.ListOptions) -> AsyncGenerator[tuple[int, Change | int]]:
        """Follow a collection: event types with their change, a bookmark with its revision."""
        async with self.watching(request, options) as events:
            async for event in events:
                yield event

    async def create(self, request: Request, options: meta_pb2.CreateOptions) -> Answer:
        """Store a new object, or do what creating one means for a subresource."""
        async with self._handler.handling(request) as subresource:
            self._begin_write(request, options)
            review = self._begin_review(request, "CREATE", options)
            if subresource is not None:
                await _review_action(review, request, None)
                return await self._act(request, subresource.create)
            obj = request.obj
            if review is not None:
                obj = await self._reviewing.new(request, review, obj, request.admission)
            result = await self._writer.create(
                request.resource,
                request.namespace,
                obj,
                request.admission,
                tracking=request.tracking,
                dry_run=request.dry_run,
            )
            return _note(request, result)

    async def update(self, request: Request, options: meta_pb2.UpdateOptions) -> Answer:
        """Replace an object, or a part of it."""
        async with self._handler.handling(request) as subresource:
            self._begin_write(request, options)
            review = self._begin_review(request, "UPDATE", options)
            if subresource is not None and subresource.update is not None:
                if review is not None or request.policies is not None:
                    await _review_action(review, request, await self._current(request, subresource))
                return await self._act(request, subresource.update)
            _require_object(request, subresource)
            if review is not None:

                def replaced(state: ObjectState) -> Message:
                    del state
                    obj = deep_copy(request.obj)
                    patching.require_path(obj, request.resource.namespaced, request.namespace, request.name)
                    return obj

                return _note(request, await self._reviewing.changed(request, review, replaced, request.tracking))
            result = await self._writer.update(
                request.resource,
                request.namespace,
                request.name,
                request.obj,
                request.path.subresource,
                request.admission,
                tracking=request.tracking,
                dry_run=request.dry_run,
            )
            return _note(request, result)

    async def patch(self, request: Request, media_type: str, data: bytes, options: meta_pb2.PatchOptions) -> Answer:
        """Change an object, or a part of it, by a patch."""
        async with self._handler.handling(request) as subresource:
            kind = patching.type_of(media_type, request.resource)
            self._begin_write(request, options, apply=kind is PatchType.APPLY)
            review = self._begin_review(request, "UPDATE", options)
            if kind is PatchType.APPLY:
                return await self._apply(request, subresource, data, options, review)
            patcher = patching.patcher(kind, data, options.fieldValidation or patching.WARN)
            patcher.custom = request.resource.custom
            try:
                if subresource is not None and subresource.update is not None:
                    answer = await self._patch_by_actions(
                        request,
                        subresource,
                        lambda now, version: patcher.apply(now, version, kind_of(type(now))),
                        review,
                    )
                    request.warnings = [*patcher.warnings, *request.warnings]
                    return answer
                _require_object(request, subresource)
                result = await self._patch_object(request, patcher.apply, request.tracking, review)
                return _note(request, result._replace(warnings=[*patcher.warnings, *result.warnings]))
            except errors.ApiError:
                request.detail = patcher.detail or request.detail
                raise

    def _begin_write(self, request: Request, options: writeoptions.Options, *, apply: bool = False) -> None:
        request.dry_run = writeoptions.check(options, apply=apply)
        validation = options.fieldValidation or (patching.WARN if request.resource.custom is not None else "")
        if validation and request.content is not None:
            request.warnings = [*request.warnings, *check_known(request.obj, validation, request.resource)]
        request.tracking = FieldTracking(
            options.fieldManager,
            lambda: tracing.incoming(request.metadata).caller,
            request.resource.api_version,
            request.path.subresource,
            self._clock,
            request.resource.custom,
        )

    def _begin_review(self, request: Request, operation: str, options: Message) -> Review | None:
        """Find out who else has a say in a write: CREATE, UPDATE or DELETE. Policies become a part of its admission;
        webhooks, of which there are none for most requests, are asked outside of the write."""
        if not self._webhooks and not self._policies:
            return None
        reviewed = self._reviews.of(request, operation, options)
        request.policies = self._policies.of(reviewed) if self._policies else None
        if request.policies is not None:
            request.admission = request.admission.also(request.attributes, request.policies)
        return self._webhooks.of(reviewed)

    async def _patch_object(
        self,
        request: Request,
        change: Callable[[Message, str, GroupVersionKind], Message],
        tracking: FieldTracking | None,
        review: Review | None,
    ) -> WriteResult:
        resource = request.resource
        what = GroupVersionKind(resource.api_version, resource.kind)

        def patched(state: ObjectState) -> Message:
            obj = change(state.obj, str(state.revision), what)
            patching.require_path(obj, resource.namespaced, request.namespace, request.name)
            return obj

        if review is not None:
            return await self._reviewing.changed(request, review, patched, tracking)
        return await self._writer.patch(
            resource,
            request.namespace,
            request.name,
            patched,
            request.path.subresource,
            request.admission,
            tracking=tracking,
            dry_run=request.dry_run,
        )

    async def _apply(
        self,
        request: Request,
        subresource: Subresource | None,
        data: bytes,
        options: meta_pb2.PatchOptions,
        review: Review | None,
    ) -> Answer:
        """Change an object by server-side apply, or create it."""
        own = subresource is not None and subresource.update is not None
        resource = subresource.applied if subresource is not None and own else request.resource
        if resource is None:
            raise errors.MethodNotAllowed(f"apply is not supported on the subresource {request.path.subresource}")
        applier = Applier(
            resource,
            applying.read(data),
            options.fieldManager,
            request.path.subresource,
            self._clock,
            force=options.force,
        )
        if subresource is not None and own:
            request.applying = True
            return await self._patch_by_actions(request, subresource, applier.apply, review)
        _require_object(request, subresource)
        for left in reversed(range(PATCH_TRIES)):
            try:
                result = await self._patch_object(
                    request, lambda obj, version, _: applier.apply(obj, version), None, review
                )
                return _note(request, result)
            except errors.NotFound:
                if subresource is not None:
                    raise
            try:
                return _note(request, await self._create_applied(request, applier.create(), options))
            except errors.AlreadyExists:
                if not left:
                    raise
        raise AssertionError("unreachable")

    async def _create_applied(self, request: Request, obj: Message, options: meta_pb2.PatchOptions) -> WriteResult:
        """Create what is applied, for those who may create."""
        resource = request.resource
        patching.require_path(obj, resource.namespaced, request.namespace, request.name)
        if uid := meta_of(obj).uid:
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise errors.conflict(resource.plural, request.name, why, resource.group)
        attributes = replace(request.attributes, verb="create")
        await self._authorizer.check(attributes)
        request.admission = self._handler.admission(attributes)
        review = self._begin_review(request, "CREATE", options)
        if review is not None:
            obj = await self._reviewing.new(request, review, obj, request.admission)
        result = await self._writer.create(resource, request.namespace, obj, request.admission, dry_run=request.dry_run)
        request.created = True
        return result

    async def _patch_by_actions(
        self,
        request: Request,
        subresource: Subresource,
        change: Callable[[Message, str], Message],
        review: Review | None,
    ) -> Message:
        """Change what a subresource gives, and update it with the result; again where it changed in between."""
        if subresource.get is None or subresource.update is None:
            raise method_not_allowed(request.attributes)
        for left in reversed(range(SUBRESOURCE_TRIES)):
            current = await subresource.get(self._objects(request), request)
            version = meta_of(current).resourceVersion
            request.obj = change(current, version)
            patching.require_path(request.obj, request.resource.namespaced, request.namespace, request.name)
            await _review_action(review, request, current)
            try:
                return await subresource.update(self._objects(request), request)
            except errors.Conflict:
                if not left or meta_of(request.obj).resourceVersion != version:
                    raise
        raise AssertionError("unreachable")

    async def delete(self, request: Request, options: meta_pb2.DeleteOptions) -> Answer:
        """Begin or complete the deletion of an object."""
        async with self._handler.handling(request):
            request.dry_run = bool(options.dryRun)
            review = self._begin_review(request, "DELETE", options)
            if review is not None:
                entry = await self._reader.entry(request.resource, request.namespace, request.name)
                await _review_deletion(review, request, entry)
            result = await self._writer.delete(
                request.resource,
                request.namespace,
                request.name,
                options,
                request.admission,
                dry_run=request.dry_run,
            )
            return _note(request, result)

    async def delete_collection(
        self, request: Request, list_options: meta_pb2.ListOptions, options: meta_pb2.DeleteOptions
    ) -> Collection:
        """Delete all objects that are selected, or a piece of them."""
        async with self._handler.handling(request):
            resource, token = request.resource, getattr(list_options, "continue")
            request.dry_run = bool(options.dryRun)
            review = self._begin_review(request, "DELETE", options)
            before = functools.partial(_review_deletion, review, request) if review is not None else None
            done = await self._writer.delete_collection(
                resource,
                self._reader.selection(resource, request.namespace, list_options),
                options,
                request.admission,
                limit=max(0, list_options.limit),
                after=self._reader.after(resource, token),
                dry_run=request.dry_run,
                before=before,
            )
            metadata = self._reader.progress(resource, done.revision, done.key, done.left)
            return Collection(metadata, done.written)

    def _objects(self, request: Request) -> StoredObjects:
        return StoredObjects(self._reader, self._writer, self._authorizer, self._clock, request.dry_run)

    async def _current(self, request: Request, subresource: Subresource) -> Message | None:
        return await subresource.get(self._objects(request), request) if subresource.get is not None else None  # pyright: ignore[reportReturnType]

    async def _act(self, request: Request, action: Action | None) -> Message:
        if action is None:
            raise method_not_allowed(request.attributes)
        return await action(self._objects(request), request)


async def _review_action(review: Review | None, request: Request, old: Message | None) -> None:
    """Ask webhooks and policies about what a subresource is sent."""
    version = meta_of(old).resourceVersion if old is not None else ""
    if review is not None:
        made = await review.mutate(request.obj, old, version)
        assert made is not None
        request.obj = made
    if request.policies is not None:
        request.policies.validate(request.attributes, request.obj, old)
    if review is not None:
        await review.validate(request.obj, old, version)


async def _review_deletion(review: Review, request: Request, entry: Entry) -> None:
    """Ask webhooks about the deletion of an object."""
    old = request.resource.message.FromString(entry.raw)
    version = str(entry.revision)
    await review.mutate(None, old, version)
    await review.validate(None, old, version)


def _require_object(request: Request, subresource: Subresource | None) -> None:
    """Refuse a subresource that is no part of the object, such as a log."""
    if subresource is not None and (subresource.streamed or subresource.message is not None):
        raise method_not_allowed(request.attributes)


def _note(request: Request, result: WriteResult) -> WriteResult:
    if not request.dry_run:
        request.wrote(result.obj, result.revision)
    request.warnings = [*request.warnings, *result.warnings]
    return result
