"""Keeps the ControllerRevisions of a workload: one for each template that it had, and the newest last.

After upstream's ``getStatefulSetRevisions`` and ``constructHistory`` (``pkg/controller/statefulset``, ``daemon``).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery.apps import revisions
from kubelab.apimachinery.apps.revisions import CHANGE_CAUSE, REVISION_HASH
from kubelab.apimachinery.errors import AlreadyExists, NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import new_controller_ref
from kubelab.apimachinery.scheme import CONTROLLER_REVISIONS, Resource
from kubelab.client.client import Client
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.controllerrefs import ControllerRefManager, Matches
from kubelab.controllermanager.deployment.replicasets import template_hash
from kubelab.controllermanager.expectations import Expectations

T = TypeVar("T", apps_pb2.DaemonSet, apps_pb2.StatefulSet)
COLLISIONS = 16  # names that are tried


@dataclass(frozen=True, slots=True)
class History:
    """All revisions, the oldest first; that of the present template; and how many names were taken before its own."""

    all: Sequence[apps_pb2.ControllerRevision]
    update: apps_pb2.ControllerRevision
    collisions: int

    def named(self, name: str) -> apps_pb2.ControllerRevision | None:
        return next((one for one in self.all if one.metadata.name == name), None)


class RevisionHistory(Generic[T]):
    """The histories of all objects of one ``resource``."""

    def __init__(self, context: ControllerContext, resource: Resource[T]) -> None:
        self._client: Client = context.client
        self._resource: Resource[Any] = resource
        self._revisions = context.informers.of(CONTROLLER_REVISIONS)
        self._expectations = Expectations(self._revisions, context.clock)
        self._refs = ControllerRefManager[Any, apps_pb2.ControllerRevision](
            self._client, resource, self._revisions, self._write_claimed, lambda _: True
        )

    def satisfied(self, key: str) -> bool:
        """Say whether the cache shows what was written for an object's key."""
        return self._expectations.satisfied(key)

    def forget(self, key: str) -> None:
        """Wait for nothing any more: the object is gone."""
        self._expectations.forget(key)

    async def read(self, key: str, parent: T, matches: Matches) -> History:
        """Find the revision of the present template, or make it. Raises ApiError."""
        known = revisions.by_age(await self._refs.claim(key, parent, matches))
        data, newest = revisions.data_of(parent.spec.template), known[-1].revision if known else 0
        collisions = parent.status.collisionCount
        same = [one for one in known if one.data.raw == data]
        if not same:
            made, collisions = await self._create(key, parent, data, newest + 1)
            return History([*known, made], made, collisions)
        update = same[-1]
        if update.revision < newest:  # the template is that of an earlier revision again: it is the newest now
            changed = deep_copy(update)
            changed.revision = newest + 1
            update = await self._client.update(changed)
            self._expectations.created(key, update)
            known = revisions.by_age([*(one for one in known if one.metadata.uid != update.metadata.uid), update])
        return History(known, update, collisions)

    async def truncate(self, key: str, parent: T, history: History, live: Set[str]) -> None:
        """Delete the oldest revisions that are more than the history keeps. ``live`` are names, or hashes, of those
        that pods or the status still name."""
        kept = {history.update.metadata.name}
        idle = [
            one
            for one in history.all
            if one.metadata.name not in live
            and one.metadata.labels.get(REVISION_HASH, "") not in live
            and one.metadata.name not in kept
        ]
        for one in idle[: max(len(idle) - parent.spec.revisionHistoryLimit, 0)]:
            meta = one.metadata
            try:
                await self._client.delete(CONTROLLER_REVISIONS, meta.name, meta.namespace, uid=meta.uid)
            except NotFound:
                continue
            self._expectations.deleted(key, one)

    async def _create(self, key: str, parent: T, data: bytes, number: int) -> tuple[apps_pb2.ControllerRevision, int]:
        """Store a new revision. A name that another template has is not taken: the next one is tried."""
        first = parent.status.collisionCount
        for collisions in range(first, first + COLLISIONS):
            made = make_revision(parent, self._resource, data, number, collisions)
            try:
                stored = await self._client.create(made)
            except AlreadyExists:
                there = await self._client.get(CONTROLLER_REVISIONS, made.metadata.name, made.metadata.namespace)
                if there.data.raw == data:
                    return there, collisions
            else:
                self._expectations.created(key, stored)
                return stored, collisions
        raise AlreadyExists(f"no name is left for a revision of {key}")

    async def _write_claimed(self, key: str, revision: apps_pb2.ControllerRevision) -> bool:
        try:
            self._expectations.created(key, await self._client.update(revision))
        except NotFound:
            return False
        return True


def make_revision(
    parent: T, resource: Resource[Any], data: bytes, number: int, collisions: int
) -> apps_pb2.ControllerRevision:
    """Make the revision of a template, named after its content."""
    digest = template_hash(parent.spec.template, collisions or None)
    made = apps_pb2.ControllerRevision(revision=number)
    made.data.raw = data
    meta = made.metadata
    meta.name, meta.namespace = f"{parent.metadata.name}-{digest}", parent.metadata.namespace
    meta.labels.update(parent.spec.template.metadata.labels)
    meta.labels[REVISION_HASH] = digest
    if cause := parent.metadata.annotations.get(CHANGE_CAUSE):
        meta.annotations[CHANGE_CAUSE] = cause
    meta.ownerReferences.append(new_controller_ref(parent, resource))
    return made
