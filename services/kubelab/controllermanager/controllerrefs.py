"""Which pods a controller owns: it adopts matching orphans and releases pods that its selector no longer takes.

After upstream's ``PodControllerRefManager`` (``pkg/controller/controller_ref_manager.go``).
https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#non-template-pod-acquisitions
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
Matches = Callable[[Mapping[str, str]], bool]
"""A controller's selector: takes a pod's labels."""


@dataclass(frozen=True, slots=True)
class Claims:
    """A controller's own pods, orphans to adopt, and pods to release."""

    own: tuple[core_pb2.Pod, ...]
    adopt: tuple[core_pb2.Pod, ...]
    release: tuple[core_pb2.Pod, ...]


def claims(controller: Message, matches: Matches, pods: Iterable[core_pb2.Pod]) -> Claims:
    """Sort pods by owner reference and selector. A controller that is being deleted neither adopts nor releases."""
    own: list[core_pb2.Pod] = []
    adopt: list[core_pb2.Pod] = []
    release: list[core_pb2.Pod] = []
    uid, terminating = meta_of(controller).uid, is_terminating(controller)
    for pod in pods:
        ref, selected = get_controller_of(pod), matches(pod.metadata.labels)
        if ref is not None and ref.uid == uid:
            (own if selected or terminating else release).append(pod)
        elif ref is None and selected and not terminating and is_active(pod):
            adopt.append(pod)
    return Claims(tuple(own), tuple(adopt), tuple(release))


class PodControllerRefManager(Generic[T]):
    """Claims pods for the controllers of one ``resource``."""

    def __init__(
        self, client: Client, resource: Resource[T], pods: Informer[core_pb2.Pod], control: PodControl
    ) -> None:
        self._client, self._resource, self._pods, self._control = client, resource, pods, control
        pods.add_indexers({BY_CONTROLLER: controller_uid, ORPHANS: orphan_namespace})

    async def claim(self, key: str, controller: T, matches: Matches) -> list[core_pb2.Pod]:
        """Adopt and release, and return the controller's pods. ``key`` is the controller's key in its queue. Raises
        ApiError; another sync does what is left."""
        meta = meta_of(controller)
        owned = self._pods.by_index(BY_CONTROLLER, meta.uid)
        claimed = claims(controller, matches, [*owned, *self._pods.by_index(ORPHANS, meta.namespace)])
        pods = [*claimed.own]
        if claimed.adopt and await self._may_adopt(controller):
            for pod in claimed.adopt:
                changed = deep_copy(pod)
                changed.metadata.ownerReferences.append(new_controller_ref(controller, self._resource))
                if await self._control.update(key, changed):
                    pods.append(changed)
        for pod in claimed.release:
            changed = deep_copy(pod)
            del changed.metadata.ownerReferences[:]
            changed.metadata.ownerReferences.extend(ref for ref in pod.metadata.ownerReferences if ref.uid != meta.uid)
            await self._control.update(key, changed)
        return pods

    async def _may_adopt(self, controller: T) -> bool:
        """Read the controller from the api-server: the garbage collector deletes pods that an absent one adopts."""
        meta = meta_of(controller)
        try:
            live = await self._client.get(self._resource, meta.name, meta.namespace)
        except NotFound:
            return False
        return meta_of(live).uid == meta.uid and not is_terminating(live)
