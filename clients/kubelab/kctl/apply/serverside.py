"""A server-side apply of one object: the server merges the file's fields and knows who manages which.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kubelab.apimachinery.errors import Conflict
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.patch.types import PatchType
from kubelab.kctl.apply.clientside import warn_if_deleting
from kubelab.kctl.apply.migration import migrate
from kubelab.kctl.apply.request import ApplyRequest, Target
from kubelab.kctl.commonflags import field_validation
from kubelab.kctl.resource import EMPTY_NAME
from kubelab.kctl.session import Failed

if TYPE_CHECKING:
    from kubelab.client.client import Client

REVIEW = """\
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts"""


class ServerSide:
    """Applies one object after the other."""

    def __init__(self, client: Client, request: ApplyRequest) -> None:
        self._client, self._request = client, request

    async def apply(self, target: Target) -> str:
        """Apply one object; leaves its state in ``target.live``."""
        document = target.document
        if not document.name:
            if base := meta_of(document.obj).generateName:
                raise Failed(f"error: from {base}: cannot use generate name with apply")
            raise Failed(f"error: {EMPTY_NAME}")
        await self._send(target)
        if not self._request.printer.server and await migrate(self._client, target, self._request.field_manager):
            await self._send(target)  # what client-side apply has set and the file has no more goes now
        assert target.live is not None
        warn_if_deleting(target.live)
        return "serverside-applied"

    async def _send(self, target: Target) -> None:
        document = target.document
        try:
            target.live = await self._client.patch(
                document.resource,
                document.name,
                json.dumps(target.configuration, ensure_ascii=False).encode(),
                PatchType.APPLY,
                target.namespace,
                subresource=self._request.options.subresource,
                dry_run=self._request.printer.server,
                field_manager=self._request.field_manager,
                field_validation=field_validation(self._request.options.validate),
                force=self._request.options.force_conflicts,
            )
        except Conflict as err:
            raise Failed(f"error: {err.message}\n{REVIEW}") from err
