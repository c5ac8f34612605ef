"""How controllers create, delete and change pods: with events, expectations and slow starts.

After upstream's ``PodControlInterface`` and ``slowStartBatch`` (``pkg/controller/controller_utils.go``,
``pkg/controller/replicaset/replica_set.go``). A controller that owns pods has one :class:`PodControl`; one that only
ends the pods of others uses :func:`write_condition` and :func:`delete_pod`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.conditions import set_condition
from kubelab.apimachinery.errors import NAMESPACE_TERMINATING, ApiError, NotFound, has_cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import meta_of, new_controller_ref
from kubelab.apimachinery.scheme import PODS, Resource
from kubelab.client.client import Client
from kubelab.client.events import EventRecorder
from kubelab.controllermanager.expectations import Expectations
from kubelab.controllermanager.gather import gather_limited

SUCCESSFUL_CREATE, FAILED_CREATE = "SuccessfulCreate", "FailedCreate"
SUCCESSFUL_DELETE, FAILED_DELETE = "SuccessfulDelete", "FailedDelete"


class PodControl:
    """Writes pods for one controller. ``key`` is the queue's key of the object that owns them, ``parent`` the object:
    it gets the events."""

    def __init__(self, client: Client, recorder: EventRecorder, expectations: Expectations[core_pb2.Pod]) -> None:
        self._client, self._recorder, self._expectations = client, recorder, expectations

    async def create(self, key: str, parent: Message, pod: core_pb2.Pod) -> core_pb2.Pod:
        """Create one pod and return what is stored. Raises ApiError, which the event ``FailedCreate`` tells already;
        a namespace that is being deleted is no event."""
        try:
            created = await self._client.create(pod)
        except ApiError as err:
            if not has_cause(err, NAMESPACE_TERMINATING):
                self._recorder.event(parent, "Warning", FAILED_CREATE, f"Error creating: {err.message}")
            raise
        self._expectations.created(key, created)
        self._recorder.event(parent, "Normal", SUCCESSFUL_CREATE, f"Created pod: {created.metadata.name}")
        return created

    async def create_all(self, key: str, parent: Message, pods: Sequence[core_pb2.Pod]) -> ApiError | None:
        """Create pods in batches of 1, 2, 4 …, each batch side by side; return the first error, after which no further
        batch begins. A pod that its namespace's deletion refuses counts as created: its owner goes as well."""
        start = 0
        for size in slow_start(len(pods)):
            batch = pods[start : start + size]
            error = _first(await gather_limited(self._create_one(key, parent, pod) for pod in batch))
            if error is not None:
                return error
            start += size
        return None

    async def _create_one(self, key: str, parent: Message, pod: core_pb2.Pod) -> ApiError | None:
        try:
            await self.create(key, parent, pod)
        except ApiError as err:
            return None if has_cause(err, NAMESPACE_TERMINATING) else err
        return None

    async def delete(self, key: str, parent: Message, pod: core_pb2.Pod) -> None:
        """Delete one pod, by its uid. A pod that is gone already is no error and no event. Raises ApiError, which the
        event ``FailedDelete`` tells already."""
        try:
            await delete_pod(self._client, pod)
        except NotFound:
            return
        except ApiError as err:
            self._recorder.event(parent, "Warning", FAILED_DELETE, f"Error deleting: {err.message}")
            raise
        self._expectations.deleted(key, pod)
        self._recorder.event(parent, "Normal", SUCCESSFUL_DELETE, f"Deleted pod: {pod.metadata.name}")

    async def delete_all(self, key: str, parent: Message, pods: Iterable[core_pb2.Pod]) -> ApiError | None:
        """Delete pods side by side, every one of them; return the first error."""
        return _first(await gather_limited(self._delete_one(key, parent, pod) for pod in pods))

    async def _delete_one(self, key: str, parent: Message, pod: core_pb2.Pod) -> ApiError | None:
        try:
            await self.delete(key, parent, pod)
        except ApiError as err:
            return err
        return None

    async def update(self, key: str, pod: core_pb2.Pod) -> bool:
        """Write a changed copy of a cached pod; False when the pod is gone. Raises Conflict when the copy is old."""
        try:
            self._expectations.created(key, await self._client.update(pod))
        except NotFound:
            return False
        return True


def _first(errors: Iterable[ApiError | None]) -> ApiError | None:
    return next((error for error in errors if error is not None), None)


def slow_start(count: int, initial: int = 1) -> Iterator[int]:
    """Split a number into batches of 1, 2, 4 …: where the first fails, hundreds more need not."""
    batch = initial
    while count > 0:
        size = min(batch, count)
        yield size
        count -= size
        batch *= 2


def pod_from_template(template: core_pb2.PodTemplateSpec, parent: Message, resource: Resource[Message]) -> core_pb2.Pod:
    """Make a pod of ``parent``'s template (upstream's ``GetPodFromTemplate``): named after its owner by the api-server,
    with the template's labels, annotations, finalizers and spec. ``resource`` is the parent's."""
    owner = meta_of(parent)
    pod = core_pb2.Pod(spec=template.spec)
    meta = pod.metadata
    meta.namespace = owner.namespace
    meta.generateName = f"{owner.name}-"
    meta.labels.update(template.metadata.labels)
    meta.annotations.update(template.metadata.annotations)
    meta.finalizers.extend(template.metadata.finalizers)
    meta.ownerReferences.append(new_controller_ref(parent, resource))
    return pod


async def delete_pod(client: Client, pod: core_pb2.Pod, *, grace_period_seconds: int | None = None) -> None:
    """Delete this pod and no later one of its name. Raises NotFound, and Conflict when the name is another pod's."""
    meta = pod.metadata
    await client.delete(PODS, meta.name, meta.namespace, grace_period_seconds=grace_period_seconds, uid=meta.uid)


async def write_condition(
    client: Client,
    pod: core_pb2.Pod,
    kind: str,
    status: str,
    now: float,
    *,
    reason: str = "",
    message: str = "",
    phase: str = "",
) -> None:
    """Write one condition into the status of a cached pod, and a ``phase`` where one is given; nothing is written when
    the pod has both. ``now`` is wall time in seconds. Raises NotFound, and Conflict when the cached pod is old."""
    changed = deep_copy(pod)
    if phase:
        changed.status.phase = phase
    set_condition(changed.status.conditions, kind, status, now, reason=reason, message=message)
    if changed != pod:
        await client.update_status(changed)
