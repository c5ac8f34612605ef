"""What follows the first server-side apply of an object that client-side apply made: its fields change their manager.

As in kubectl, the annotation of client-side apply gets a manager of its own first, so that the move does not take it
away.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from kubelab.apimachinery.errors import ApiError, Conflict
from kubelab.apimachinery.fieldsets import csaupgrade
from kubelab.apimachinery.fieldsets.managers import APPLY, UPDATE
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.patch.types import PatchType
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.apply import lastapplied
from kubelab.kctl.apply.request import SERVER_SIDE_MANAGER, Target

if TYPE_CHECKING:
    from kubelab.client.client import Client

LAST_APPLIED_MANAGER = "kubectl-last-applied"
TRIES = 5
_PATH = ("f:metadata", "f:annotations", f"f:{lastapplied.ANNOTATION}")
_KEEPING_FAILED = (
    "Warning: failed to migrate kubectl.kubernetes.io/last-applied-configuration for Server-Side Apply. "
    "This is non-fatal and will be retried next time you apply. Error: {}"
)
_MOVE_FAILED = (
    "Warning: server rejected managed fields migration to Server-Side Apply. "
    "This is non-fatal and will be retried next time you apply. Error: {}"
)


async def migrate(client: Client, target: Target, manager: str) -> bool:
    """Move what client-side apply manages to ``manager``; says whether anything was moved. A failure is a warning."""
    assert target.live is not None
    failed = _KEEPING_FAILED
    try:
        if manager == SERVER_SIDE_MANAGER:
            await _keep_annotation(client, target, target.live)
        failed = _MOVE_FAILED
        return await _move(client, target, manager)
    except (ApiError, ValueError) as err:
        print(escaped(failed.format(err)), file=sys.stderr)
        return False


async def _keep_annotation(client: Client, target: Target, live: Message) -> None:
    entries = meta_of(live).managedFields
    text = meta_of(live).annotations.get(lastapplied.ANNOTATION)
    if text is None or csaupgrade.owners(entries, _PATH, APPLY):
        return
    document = target.document
    applied = {
        "apiVersion": document.resource.api_version,
        "kind": document.resource.kind,
        "metadata": {"name": document.name, "annotations": {lastapplied.ANNOTATION: text}},
    }
    target.live = await client.patch(
        document.resource,
        document.name,
        json.dumps(applied, ensure_ascii=False).encode(),
        PatchType.APPLY,
        target.namespace,
        field_manager=LAST_APPLIED_MANAGER,
        force=False,
    )


async def _move(client: Client, target: Target, manager: str) -> bool:
    document = target.document
    for left in reversed(range(TRIES)):
        assert target.live is not None
        theirs = csaupgrade.owners(meta_of(target.live).managedFields, _PATH, UPDATE)
        patch = csaupgrade.upgrade_patch(target.live, theirs, manager)
        if patch is None:
            return False
        try:
            target.live = await client.patch(
                document.resource, document.name, patch, PatchType.JSON, target.namespace, field_manager=manager
            )
            return True
        except Conflict:
            if not left:
                raise
            target.live = await client.get(document.resource, document.name, target.namespace)
    raise AssertionError("unreachable")
