"""The rollouts of DaemonSets and StatefulSets, whose revisions are ControllerRevisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kubelab.api.apps.v1 import apps_pb2
from kubelab.kctl.rollout.interface import Revision, Undo
from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from kubelab.client.client import Client

Workload = apps_pb2.DaemonSet | apps_pb2.StatefulSet
ROLLING_UPDATE = "RollingUpdate"


async def _revisions(client: Client, obj: Workload) -> list[apps_pb2.ControllerRevision]:
    """Find an object's revisions, the oldest first."""
    from kubelab.apimachinery import labelselectors
    from kubelab.apimachinery.apps.revisions import by_age
    from kubelab.apimachinery.meta import is_controlled_by
    from kubelab.apimachinery.scheme import CONTROLLER_REVISIONS

    selector = labelselectors.text(obj.spec.selector)
    listed = await client.list(CONTROLLER_REVISIONS, obj.metadata.namespace, label_selector=selector)
    return by_age(one for one in listed.items if is_controlled_by(one, obj))


class _SetRollout:
    """What both kinds have in common; see :class:`kubelab.kctl.rollout.interface.Rollout`."""

    async def history(self, client: Client, obj: Any, /) -> Sequence[Revision]:
        from kubelab.apimachinery.apps.revisions import CHANGE_CAUSE, template_of

        known = await _revisions(client, obj)
        try:
            return [
                Revision(one.revision, template_of(one), one.metadata.annotations.get(CHANGE_CAUSE, ""), one)
                for one in known
            ]
        except ValueError as err:
            raise Failed(f"error: {err}") from err

    async def undo(self, client: Client, obj: Any, revision: int, how: Undo, /) -> str:
        from kubelab.apimachinery import scheme
        from kubelab.apimachinery.apps.revisions import data_of, template_of
        from kubelab.apimachinery.errors import ApiError
        from kubelab.apimachinery.patch.types import PatchType
        from kubelab.kctl.rollout.templates import template_text

        known = await _revisions(client, obj)
        if revision == 0 and len(known) <= 1:
            raise Failed("error: no last revision to roll back to")
        target = known[-2] if revision == 0 else next((one for one in known if one.revision == revision), None)
        if target is None:
            raise Failed(f"error: unable to find specified revision {revision} in history")
        if how.dry:
            return template_text(template_of(target))
        if target.data.raw == data_of(obj.spec.template):
            return f"skipped rollback (current template already matches revision {revision})"
        meta, resource = obj.metadata, scheme.of_object(obj)
        try:
            await client.patch(
                resource, meta.name, target.data.raw, PatchType.STRATEGIC, meta.namespace, dry_run=how.server_dry
            )
        except ApiError as err:
            raise Failed(f"error: failed restoring revision {revision}: {err.message}") from err
        return "rolled back"


class DaemonSetRollout(_SetRollout):
    """See :class:`kubelab.kctl.rollout.interface.Rollout`."""

    def status(self, obj: apps_pb2.DaemonSet, revision: int, /) -> tuple[str, bool]:
        del revision
        _require_rolling_update(obj)
        name, status = obj.metadata.name, obj.status
        if obj.metadata.generation > status.observedGeneration:
            return "Waiting for daemon set spec update to be observed...", False
        waiting, wanted = f'Waiting for daemon set "{name}" rollout to finish', status.desiredNumberScheduled
        if status.updatedNumberScheduled < wanted:
            updated = status.updatedNumberScheduled
            return f"{waiting}: {updated} out of {wanted} new pods have been updated...", False
        if status.numberAvailable < wanted:
            return f"{waiting}: {status.numberAvailable} of {wanted} updated pods are available...", False
        return f'daemon set "{name}" successfully rolled out', True


class StatefulSetRollout(_SetRollout):
    """See :class:`kubelab.kctl.rollout.interface.Rollout`."""

    def status(self, obj: apps_pb2.StatefulSet, revision: int, /) -> tuple[str, bool]:
        del revision
        _require_rolling_update(obj)
        status, spec = obj.status, obj.spec
        if not status.observedGeneration or obj.metadata.generation > status.observedGeneration:
            return "Waiting for statefulset spec update to be observed...", False
        if status.readyReplicas < spec.replicas:
            return f"Waiting for {spec.replicas - status.readyReplicas} pods to be ready...", False
        if spec.updateStrategy.HasField("rollingUpdate") and spec.updateStrategy.rollingUpdate.HasField("partition"):
            wanted, updated = spec.replicas - spec.updateStrategy.rollingUpdate.partition, status.updatedReplicas
            if updated < wanted:
                waiting = "Waiting for partitioned roll out to finish"
                return f"{waiting}: {updated} out of {wanted} new pods have been updated...", False
            return f"partitioned roll out complete: {updated} new pods have been updated...", True
        if status.updateRevision != status.currentRevision:
            at = f"{status.updatedReplicas} pods at revision {status.updateRevision}"
            return f"waiting for statefulset rolling update to complete {at}...", False
        at = f"{status.currentReplicas} pods at revision {status.currentRevision}"
        return f"statefulset rolling update complete {at}...", True


def _require_rolling_update(obj: Workload) -> None:
    if obj.spec.updateStrategy.type != ROLLING_UPDATE:
        raise Failed(f"error: rollout status is only available for {ROLLING_UPDATE} strategy type")
