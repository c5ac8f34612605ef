"""Writes that admission webhooks look at. A webhook answers slowly, so it is asked outside of the write's decision:
about what the write would make of a state; then the write is made of that very state, or of the next one anew."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import Message

from kubelab.apimachinery import errors
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import meta_of
from kubelab.apiserver.admission.chain import Admission
from kubelab.apiserver.admission.webhooks.dispatch import Review
from kubelab.apiserver.registry.fieldtracking import FieldTracking
from kubelab.apiserver.registry.writer import ObjectWriter
from kubelab.apiserver.request import Request
from kubelab.apiserver.resources.writes import ObjectState, WriteResult

TRIES = 5


class Reviewing:
    """Creates and changes objects with the consent of webhooks."""

    def __init__(self, writer: ObjectWriter) -> None:
        self._writer = writer

    async def new(self, request: Request, review: Review, obj: Message, admission: Admission) -> Message:
        """Give a new object as the webhooks leave it. Raises what they, or the checks, say against it."""
        resource, namespace = request.resource, request.namespace
        made = await review.mutate(await self._writer.preview(resource, namespace, obj, admission), None)
        assert made is not None
        if review.validating:
            would_be = await self._writer.create(
                resource, namespace, deep_copy(made), admission, tracking=request.tracking, dry_run=True
            )
            await review.validate(would_be.obj, None)
        return made

    async def changed(
        self,
        request: Request,
        review: Review,
        change: Callable[[ObjectState], Message],
        tracking: FieldTracking | None,
    ) -> WriteResult:
        """Change an object by a function of its state, and by what the webhooks make of it."""
        moved = errors.Conflict("the object has changed since its webhooks were asked")
        for _ in range(TRIES):
            state, would_be = await self._look(request, change, tracking)
            version = str(state.revision)
            made = await review.mutate(deep_copy(would_be), state.obj, version)
            assert made is not None
            if review.validating:
                if made != would_be:
                    _, would_be = await self._look(request, _only_of(state, made, moved), tracking)
                await review.validate(would_be, state.obj, version)
            try:
                return await self._write(request, _only_of(state, made, moved), tracking, dry_run=request.dry_run)
            except errors.Conflict as err:
                if err is not moved:
                    raise
        why = "the object has been modified; please apply your changes to the latest version and try again"
        raise errors.conflict(request.resource.plural, request.name, why, request.resource.group)

    async def _look(
        self, request: Request, change: Callable[[ObjectState], Message], tracking: FieldTracking | None
    ) -> tuple[ObjectState, Message]:
        """Give the present state, and what a change would make of it."""
        states: list[ObjectState] = []

        def noted(state: ObjectState) -> Message:
            states.append(state)
            return change(state)

        would_be = await self._write(request, noted, tracking, dry_run=True)
        return states[-1], would_be.obj

    async def _write(
        self,
        request: Request,
        change: Callable[[ObjectState], Message],
        tracking: FieldTracking | None,
        *,
        dry_run: bool,
    ) -> WriteResult:
        return await self._writer.patch(
            request.resource,
            request.namespace,
            request.name,
            change,
            request.path.subresource,
            request.admission,
            tracking=tracking,
            dry_run=dry_run,
        )


def _only_of(state: ObjectState, made: Message, moved: errors.Conflict) -> Callable[[ObjectState], Message]:
    """Give the change that puts ``made`` in the place of this state; of another one it raises ``moved``."""

    def change(current: ObjectState) -> Message:
        if current.revision != state.revision:
            raise moved
        obj = deep_copy(made)
        meta_of(obj).ClearField("resourceVersion")
        return obj

    return change
