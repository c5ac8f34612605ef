"""What a controller owns: it adopts matching orphans and releases what its selector no longer takes.

After upstream's ``PodControllerRefManager`` and ``ReplicaSetControllerRefManager``
(``pkg/controller/controller_ref_manager.go``).
https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#non-template-pod-acquisitions
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import is_active
from kubelab.apimachinery.errors import NotFound
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import get_controller_of, is_terminating, meta_of, new_controller_ref
from kubelab.apimachinery.scheme import Resource
from kubelab.client.client import Client
from kubelab.client.informer import Informer
from kubelab.controllermanager.indexes import BY_CONTROLLER, ORPHANS, controller_uid, orphan_namespace
from kubelab.controllermanager.podcontrol import PodControl

T = TypeVar("T", bound=Message)
C = TypeVar("C", bound=Message)
Matches = Callable[[Mapping[str, str]], bool]
"""A controller's selector: takes an object's labels."""


@dataclass(frozen=True, slots=True)
class Claims(Generic[C]):
    """A controller's own objects, orphans to adopt, and objects to release."""

    own: tuple[C, ...]
    adopt: tuple[C, ...]
    release: tuple[C, ...]


def claims(controller: Message, matches: Matches, objects: Iterable[C], adoptable: Callable[[C], bool]) -> Claims[C]:
    """Sort objects by owner reference and selector. A controller that is being deleted neither adopts nor releases."""
    own: list[C] = []
    adopt: list[C] = []
    release: list[C] = []
    uid, terminating = meta_of(controller).uid, is_terminating(controller)
    for obj in objects:
        ref, selected = get_controller_of(obj), matches(meta_of(obj).labels)
        if ref is not None and ref.uid == uid:
            (own if selected or terminating else release).append(obj)
        elif ref is None and selected and not terminating and adoptable(obj):
            adopt.append(obj)
    return Claims(tuple(own), tuple(adopt), tuple(release))


class ControllerRefManager(Generic[T, C]):
    """Claims objects for the controllers of one ``resource``. ``write`` gets a controller's key in its queue and a
    changed object; it says whether that was still there. ``adoptable`` says which orphans may be adopted."""

    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        owned: Informer[C],
        write: Callable[[str, C], Awaitable[bool]],
        adoptable: Callable[[C], bool],
    ) -> None:
        self._client, self._resource, self._owned, self._write = client, resource, owned, write
        self._adoptable = adoptable
        owned.add_indexers({BY_CONTROLLER: controller_uid, ORPHANS: orphan_namespace})

    async def claim(self, key: str, controller: T, matches: Matches) -> list[C]:
        """Adopt and release, and return the controller's objects. ``key`` is the controller's key in its queue. Raises
        ApiError; another sync does what is left."""
        meta = meta_of(controller)
        known = [*self._owned.by_index(BY_CONTROLLER, meta.uid), *self._owned.by_index(ORPHANS, meta.namespace)]
        claimed = claims(controller, matches, known, self._adoptable)
        objects = [*claimed.own]
        if claimed.adopt and await self._may_adopt(controller):
            for obj in claimed.adopt:
                changed = deep_copy(obj)
                meta_of(changed).ownerReferences.append(new_controller_ref(controller, self._resource))
                if await self._write(key, changed):
                    objects.append(changed)
        for obj in claimed.release:
            changed = deep_copy(obj)
            kept = [ref for ref in meta_of(obj).ownerReferences if ref.uid != meta.uid]
            del meta_of(changed).ownerReferences[:]
            meta_of(changed).ownerReferences.extend(kept)
            await self._write(key, changed)
        return objects

    async def _may_adopt(self, controller: T) -> bool:
        """Read the controller from the api-server: the garbage collector deletes pods that an absent one adopts."""
        meta = meta_of(controller)
        try:
            live = await self._client.get(self._resource, meta.name, meta.namespace)
        except NotFound:
            return False
        return meta_of(live).uid == meta.uid and not is_terminating(live)


class PodControllerRefManager(ControllerRefManager[T, core_pb2.Pod]):
    """Claims pods for the controllers of one ``resource``."""

    def __init__(
        self, client: Client, resource: Resource[T], pods: Informer[core_pb2.Pod], control: PodControl
    ) -> None:
        super().__init__(client, resource, pods, control.update, is_active)
