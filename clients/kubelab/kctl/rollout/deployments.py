"""The rollouts of Deployments, whose revisions are ReplicaSets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kubelab.api.apps.v1 import apps_pb2
from kubelab.apimachinery.apps import deployments
from kubelab.apimachinery.apps.deployments import CHANGE_CAUSE, PROGRESSING, TIMED_OUT
from kubelab.apimachinery.core.conditions import get_condition
from kubelab.apimachinery.messages import deep_copy
from kubelab.kctl.replicasets import replica_sets_of
from kubelab.kctl.rollout.interface import Revision, Undo
from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from kubelab.client.client import Client


class DeploymentRollout:
    """See :class:`kubelab.kctl.rollout.interface.Rollout`."""

    def status(self, obj: apps_pb2.Deployment, revision: int, /) -> tuple[str, bool]:
        name, status = obj.metadata.name, obj.status
        running = deployments.revision(obj)
        if revision and revision != running:
            raise Failed(f"error: desired revision ({revision}) is different from the running revision ({running})")
        if obj.metadata.generation > status.observedGeneration:
            return "Waiting for deployment spec update to be observed...", False
        progress = get_condition(status.conditions, PROGRESSING)
        if progress is not None and progress.reason == TIMED_OUT:
            raise Failed(f'error: deployment "{name}" exceeded its progress deadline')
        waiting, wanted = f'Waiting for deployment "{name}" rollout to finish', deployments.replicas(obj)
        updated = status.updatedReplicas
        if updated < wanted:
            return f"{waiting}: {updated} out of {wanted} new replicas have been updated...", False
        if status.replicas > updated:
            return f"{waiting}: {status.replicas - updated} old replicas are pending termination...", False
        if status.availableReplicas < updated:
            return f"{waiting}: {status.availableReplicas} of {updated} updated replicas are available...", False
        return f'deployment "{name}" successfully rolled out', True

    async def history(self, client: Client, obj: apps_pb2.Deployment, /) -> Sequence[Revision]:
        by_number: dict[int, Revision] = {}
        for rs in await replica_sets_of(client, obj):
            number, cause = deployments.revision(rs), rs.metadata.annotations.get(CHANGE_CAUSE, "")
            template = deep_copy(rs.spec.template)
            if cause:
                template.metadata.annotations[CHANGE_CAUSE] = cause
            by_number[number] = Revision(number, template, cause, rs)
        return [by_number[number] for number in sorted(by_number)]

    async def undo(self, client: Client, obj: apps_pb2.Deployment, revision: int, how: Undo, /) -> str:
        from kubelab.apimachinery.errors import ApiError
        from kubelab.apimachinery.manifest import encode
        from kubelab.apimachinery.patch.types import PatchType
        from kubelab.kctl.rollout.templates import template_text

        name, namespace = obj.metadata.name, obj.metadata.namespace
        target = deployments.to_roll_back_to(await replica_sets_of(client, obj), revision) if revision >= 0 else None
        if target is None:
            if revision:
                raise Failed(f"error: unable to find specified revision {revision} in history")
            raise Failed(f'error: no rollout history found for deployment "{name}"')
        if how.dry:
            return template_text(target.spec.template)
        if obj.spec.paused:
            raise Failed(
                "error: you cannot rollback a paused deployment; resume it first with "
                f"'kctl rollout resume deployment/{name}' and try again"
            )
        if deployments.same_template(target.spec.template, obj.spec.template):
            return f"skipped rollback (current template already matches revision {revision})"
        changed = deep_copy(obj)
        deployments.roll_back(changed, target)
        patch = [
            {"op": "replace", "path": "/spec/template", "value": encode.message_to_dict(changed.spec.template)},
            {"op": "replace", "path": "/metadata/annotations", "value": dict(changed.metadata.annotations)},
        ]
        from kubelab.apimachinery.scheme import DEPLOYMENTS

        try:
            content = json.dumps(patch).encode()
            await client.patch(DEPLOYMENTS, name, content, PatchType.JSON, namespace, dry_run=how.server_dry)
        except ApiError as err:
            raise Failed(f"error: failed restoring revision {revision}: {err.message}") from err
        return "rolled back"
