"""Keep one ReplicaSet for each template of a Deployment, and lead from one to the next as its strategy says.

Each sync compares what is there with what should be and takes one step; the ReplicaSets' events bring the next one. A
ReplicaSet's name follows from the template, so that one that was created before a crash is found again, and every
update names the version that it was decided on.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labelselectors
from kubelab.apimachinery.apps import deployments
from kubelab.apimachinery.apps.deployments import RECREATE, REVISION, is_complete, new_and_old, replicas
from kubelab.apimachinery.core.conditions import FALSE
from kubelab.apimachinery.errors import NAMESPACE_TERMINATING, AlreadyExists, ApiError, NotFound, has_cause
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import get_controller_of, is_controlled_by, is_terminating, key_of
from kubelab.apimachinery.scheme import DEPLOYMENTS, PODS, REPLICA_SETS
from kubelab.client.controller import Reconciler
from kubelab.client.events import EventKind
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.controllerrefs import ControllerRefManager
from kubelab.controllermanager.deployment import decide, rollback, status
from kubelab.controllermanager.deployment.decide import Scaling
from kubelab.controllermanager.deployment.replicasets import make, refreshed, resized
from kubelab.controllermanager.expectations import LOOK_AGAIN, Expectations
from kubelab.controllermanager.indexes import BY_CONTROLLER, BY_SELECTOR, controller_uid, label_selecting, selector_keys
from kubelab.rpc import tracing

SCALING = "ScalingReplicaSet"


class DeploymentController(Reconciler[str]):
    """Own the ReplicaSets of every Deployment. A key says "look again", never "what happened"."""

    name = "deployment"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context.queue, context.log)
        self._client, self._clock = context.client, context.clock
        self._recorder = context.recorder("deployment-controller")
        self._deployments = context.informers.of(DEPLOYMENTS)
        self._replica_sets = context.informers.of(REPLICA_SETS)
        self._pods = context.informers.of(PODS)
        self._deployments.add_indexers({BY_SELECTOR: selector_keys})
        self._pods.add_indexers({BY_CONTROLLER: controller_uid})
        self._expectations = Expectations(self._replica_sets, context.clock)
        self._status_expectations = Expectations(self._deployments, context.clock)
        self._refs = ControllerRefManager(
            self._client, DEPLOYMENTS, self._replica_sets, self._write_owner, lambda rs: not is_terminating(rs)
        )
        self._deployments.add_handler(
            on_add=self._enqueue, on_update=lambda _, new: self._enqueue(new), on_delete=self._enqueue
        )
        self._replica_sets.add_handler(
            on_add=self._replica_set_changed, on_update=self._replica_set_updated, on_delete=self._replica_set_changed
        )
        self._pods.add_handler(on_delete=self._pod_deleted)

    def enqueue_all(self) -> None:
        """Look at every Deployment, for what an earlier lead left half done."""
        for deployment in self._deployments.list():
            self._enqueue(deployment)

    def _enqueue(self, deployment: apps_pb2.Deployment) -> None:
        self._queue.add(key_of(deployment))

    def _replica_set_changed(self, replica_set: apps_pb2.ReplicaSet) -> None:
        ref = get_controller_of(replica_set)
        if ref is not None:
            if ref.kind == DEPLOYMENTS.kind:
                self._queue.add(f"{replica_set.metadata.namespace}/{ref.name}")
            return
        for deployment in label_selecting(self._deployments, replica_set):  # it may adopt the orphan
            self._enqueue(deployment)

    def _replica_set_updated(self, old: apps_pb2.ReplicaSet, new: apps_pb2.ReplicaSet) -> None:
        if get_controller_of(old) != get_controller_of(new):
            self._replica_set_changed(old)
        self._replica_set_changed(new)

    def _pod_deleted(self, pod: core_pb2.Pod) -> None:
        """Strategy Recreate waits for the last old pod, of which no ReplicaSet tells."""
        ref = get_controller_of(pod)
        if ref is None or ref.kind != REPLICA_SETS.kind:
            return
        replica_set = self._replica_sets.get(f"{pod.metadata.namespace}/{ref.name}")
        owner = get_controller_of(replica_set) if replica_set is not None else None
        deployment = self._deployments.get(f"{pod.metadata.namespace}/{owner.name}") if owner is not None else None
        if deployment is not None and deployment.spec.strategy.type == RECREATE:
            self._enqueue(deployment)

    async def sync(self, key: str) -> None:
        """Take one Deployment's next step, and write its status."""
        deployment = self._deployments.get(key)
        if deployment is None:
            self._expectations.forget(key)
            self._status_expectations.forget(key)
            return
        if not (self._expectations.satisfied(key) and self._status_expectations.satisfied(key)):
            self._queue.add_after(key, LOOK_AGAIN)  # the awaited events bring the key back sooner
            return
        with tracing.cause(deployment.metadata.resourceVersion):
            matches = labelselectors.of_stored(deployment.spec.selector).matches
            owned = await self._refs.claim(key, deployment, matches)
            if self._expectations.satisfied(key):
                await _Sync(self, key, deployment, owned).run()
            else:
                self._queue.add_after(key, LOOK_AGAIN)  # adopted just now: decided on when the cache shows it

    async def _write_owner(self, key: str, replica_set: apps_pb2.ReplicaSet) -> bool:
        try:
            await self.update(key, replica_set)
        except NotFound:
            return False
        return True

    # --- what a sync does

    def now(self) -> float:
        """Tell the wall time in seconds."""
        return self._clock.time()

    def record(self, deployment: apps_pb2.Deployment, kind: EventKind, reason: str, message: str) -> None:
        """Record an event about a Deployment."""
        self._recorder.event(deployment, kind, reason, message)

    def pods_of(self, replica_sets: Sequence[apps_pb2.ReplicaSet]) -> list[core_pb2.Pod]:
        """Find the pods that belong to ReplicaSets."""
        return [pod for rs in replica_sets for pod in self._pods.by_index(BY_CONTROLLER, rs.metadata.uid)]

    async def create(self, key: str, replica_set: apps_pb2.ReplicaSet) -> apps_pb2.ReplicaSet:
        """Create a ReplicaSet and return what is stored."""
        created = await self._client.create(replica_set)
        self._expectations.created(key, created)
        return created

    async def existing(self, replica_set: apps_pb2.ReplicaSet) -> apps_pb2.ReplicaSet:
        """Read the ReplicaSet of that name."""
        return await self._client.get(REPLICA_SETS, replica_set.metadata.name, replica_set.metadata.namespace)

    async def update(self, key: str, replica_set: apps_pb2.ReplicaSet) -> apps_pb2.ReplicaSet:
        """Write a changed copy of a ReplicaSet and return what is stored."""
        updated = await self._client.update(replica_set)
        self._expectations.created(key, updated)
        return updated

    async def delete(self, key: str, replica_set: apps_pb2.ReplicaSet) -> None:
        """Delete a ReplicaSet, if it is still the one that was looked at."""
        meta = replica_set.metadata
        try:
            await self._client.delete(
                REPLICA_SETS, meta.name, meta.namespace, uid=meta.uid, resource_version=meta.resourceVersion
            )
        except NotFound:
            return
        self._expectations.deleted(key, replica_set)

    async def update_deployment(self, key: str, deployment: apps_pb2.Deployment) -> None:
        """Write a Deployment's spec and annotations."""
        self._status_expectations.created(key, await self._client.update(deployment))

    async def update_status(self, key: str, deployment: apps_pb2.Deployment) -> None:
        """Write a Deployment's status and annotations; one that is gone needs none."""
        try:
            self._status_expectations.created(key, await self._client.update_status(deployment))
        except NotFound:
            return

    def look_again(self, key: str, seconds: float) -> None:
        """Sync the key after so many seconds."""
        self._queue.add_after(key, seconds)


class _Sync:
    """One sync of one Deployment. ``deployment`` is a copy of ``cached``, into which notes for the status go."""

    def __init__(
        self,
        controller: DeploymentController,
        key: str,
        cached: apps_pb2.Deployment,
        owned: Sequence[apps_pb2.ReplicaSet],
    ) -> None:
        self._controller, self._key, self._cached = controller, key, cached
        self._deployment = deep_copy(cached)
        self._now = controller.now()
        self._new, self._old = new_and_old(cached, owned)

    async def run(self) -> None:
        """Take the next step, and write the status that follows from it."""
        deployment = self._deployment
        if is_terminating(deployment):
            await self._write(status.calculated(deployment, self._new, self._old, self._now))
            return
        status.note_pause(deployment, self._now)
        if not deployment.spec.paused and rollback.wanted(deployment) is not None:
            await self._roll_back()
            return
        if self._new is not None:
            await self._refresh(self._new)
        if deployment.spec.paused or decide.is_scaling(deployment, self._all()):
            await self._scale(decide.proportional(deployment, self._new, self._old))
            if deployment.spec.paused:
                await self._clean_up()
            await self._write(status.calculated(deployment, self._new, self._old, self._now))
            return
        if deployments.is_rolling(deployment):
            stepped = await self._roll()
        else:
            stepped = await self._recreate()
        if not stepped and is_complete(deployment, deployment.status):
            await self._clean_up()
        await self._write(status.progressed(deployment, self._new, self._old, self._now))

    def _all(self) -> list[apps_pb2.ReplicaSet]:
        return [*self._old, self._new] if self._new is not None else self._old

    async def _roll(self) -> bool:
        """Take one step of a rolling update; say whether there was one to take."""
        if self._new is None:
            await self._create()
            return True
        return await self._scale(decide.rolling(self._deployment, self._new, self._old))

    async def _recreate(self) -> bool:
        """Take one step of strategy Recreate; say whether there is one to take, or to wait for."""
        pods = self._controller.pods_of(self._old)
        scalings = decide.recreating(self._deployment, self._new, self._old, pods)
        if scalings is None:
            return True
        if self._new is None and not scalings:
            await self._create()
            return True
        return await self._scale(scalings)

    async def _refresh(self, new: apps_pb2.ReplicaSet) -> None:
        """Bring the new ReplicaSet's annotations up to date, and note its revision in the Deployment."""
        changed = refreshed(self._deployment, new, self._old)
        if changed != new:
            new = self._new = await self._controller.update(self._key, changed)
        self._note_revision(new, created=False)

    async def _create(self) -> None:
        """Create the new ReplicaSet, as large as it may be at once."""
        deployment = self._deployment
        count = deployment.status.collisionCount if deployment.status.HasField("collisionCount") else None
        new = make(deployment, self._old, count)
        new.spec.replicas = decide.size_of_new(deployment, 0, self._old)
        try:
            created = await self._controller.create(self._key, new)
        except AlreadyExists as err:
            created = await self._own(new, err)
            self._note_revision(created, created=False)
        except ApiError as err:
            if not has_cause(err, NAMESPACE_TERMINATING):
                await self._tell_of_failure(new, err)
            raise
        else:
            if replicas(created):
                self._tell_of_scaling(created, 0, replicas(created))
            self._note_revision(created, created=True)
        self._new = created

    async def _own(self, wanted: apps_pb2.ReplicaSet, err: AlreadyExists) -> apps_pb2.ReplicaSet:
        """Find the ReplicaSet that has the name already. It is ours when an earlier sync created it; if not, the next
        sync takes another name."""
        found = await self._controller.existing(wanted)
        template = self._deployment.spec.template
        if is_controlled_by(found, self._deployment) and deployments.same_template(found.spec.template, template):
            return found
        self._deployment.status.collisionCount += 1
        await self._controller.update_status(self._key, self._deployment)
        raise err

    def _note_revision(self, new: apps_pb2.ReplicaSet, *, created: bool) -> None:
        self._deployment.metadata.annotations[REVISION] = new.metadata.annotations[REVISION]
        status.note_new(self._deployment, new, self._now, created=created)

    async def _tell_of_failure(self, new: apps_pb2.ReplicaSet, err: ApiError) -> None:
        message = f'Failed to create new replica set "{new.metadata.name}": {err.message}'
        deployment = self._deployment
        if deployments.has_deadline(deployment):
            kind, reason = deployments.PROGRESSING, status.CREATE_ERROR
            status.set_condition(deployment.status, kind, FALSE, reason, message, self._now)
            if deployment != self._cached:
                await self._controller.update_status(self._key, deployment)
        self._controller.record(deployment, "Warning", status.CREATE_ERROR, message)

    async def _scale(self, scalings: Sequence[Scaling]) -> bool:
        """Give ReplicaSets other sizes; say whether any had another one."""
        scaled = False
        for replica_set, size in scalings:
            changed = resized(self._deployment, replica_set, size)
            if changed == replica_set:
                continue
            updated = await self._controller.update(self._key, changed)
            if replicas(replica_set) != size:
                self._tell_of_scaling(updated, replicas(replica_set), size)
                scaled = True
            self._replace(updated)
        return scaled

    def _replace(self, updated: apps_pb2.ReplicaSet) -> None:
        uid = updated.metadata.uid
        if self._new is not None and self._new.metadata.uid == uid:
            self._new = updated
        self._old = [updated if rs.metadata.uid == uid else rs for rs in self._old]

    def _tell_of_scaling(self, replica_set: apps_pb2.ReplicaSet, before: int, after: int) -> None:
        name, way = replica_set.metadata.name, "up" if after > before else "down"
        message = f"Scaled {way} replica set {name} from {before} to {after}"
        self._controller.record(self._deployment, "Normal", SCALING, message)

    async def _clean_up(self) -> None:
        for replica_set in decide.superfluous(self._deployment, self._old):
            await self._controller.delete(self._key, replica_set)

    async def _roll_back(self) -> None:
        """Do what the annotation asks that old clients roll back by, and take it away."""
        done = rollback.rolled_back(self._deployment, self._all())
        self._controller.record(self._deployment, done.kind, done.reason, done.message)
        await self._controller.update_deployment(self._key, done.deployment)

    async def _write(self, fresh: apps_pb2.DeploymentStatus) -> None:
        deployment = self._deployment
        deployment.status.CopyFrom(fresh)
        if deployment != self._cached:
            await self._controller.update_status(self._key, deployment)
        seconds = status.check_in(deployment, fresh, self._now)
        if seconds is not None:
            self._controller.look_again(self._key, seconds)
