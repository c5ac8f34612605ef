"""A client-side apply of one object: create it, or send the three-way patch of file, annotation and server."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from kubelab.apimachinery.errors import ApiError, Conflict, Invalid, NotFound
from kubelab.apimachinery.manifest import encode
from kubelab.apimachinery.meta import is_terminating, meta_of
from kubelab.apimachinery.patch.errors import PatchError
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import changes
from kubelab.kctl.apply import lastapplied
from kubelab.kctl.apply.request import ApplyRequest, Target
from kubelab.kctl.commonflags import field_validation
from kubelab.kctl.files import naming
from kubelab.kctl.resource import EMPTY_NAME, Info
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.client.client import Client

RETRIES = 5  # when the object changes between reading and writing
BACK_OFF = 1.0  # seconds before the second retry and each after it
MISSING = (
    f"Warning: resource {{name}} is missing the {lastapplied.ANNOTATION} annotation which is required by kctl apply. "
    "kctl apply should only be used on resources created declaratively by either kctl create --save-config or kctl "
    "apply. The missing annotation will be patched automatically."
)


class ClientSide:
    """Applies one object after the other, with kubectl's words."""

    def __init__(self, session: Session, client: Client, request: ApplyRequest) -> None:
        self._session, self._client, self._request = session, client, request
        self._dry = request.printer.dry

    async def apply(self, target: Target) -> str:
        """Apply one object; gives what was done, and leaves its state in ``target.live``."""
        document = target.document
        if not document.name:
            if base := meta_of(document.obj).generateName:
                raise Failed(f"error: from {base}: cannot use generate name with apply")
            raise Failed(
                f"error: error when retrieving current configuration of:\n{target.described}\n"
                f'from server for: "{document.source}": {EMPTY_NAME}'
            )
        try:
            with naming(f"retrieving current configuration of:\n{target.described}\nfrom server for:", document.source):
                target.live = await self._client.get(document.resource, document.name, target.namespace)
        except NotFound:
            return await self._create(target)
        if self._dry:
            return "configured"
        return await self._patch(target, target.live)

    async def _create(self, target: Target) -> str:
        document = target.document
        lastapplied.save(document.obj, target.configuration)
        target.live = document.obj
        if not self._dry:
            with naming("creating", document.source):
                target.live = await self._client.create(document.obj, target.namespace, **self._write_options())
        return "created"

    async def _patch(self, target: Target, live: Message) -> str:
        if not lastapplied.has(live):
            name = f"{target.document.resource.plural}/{target.document.name}"
            print(MISSING.format(name=escaped(name)), file=sys.stderr)
        patch = ""
        try:
            for attempt in range(RETRIES + 1):
                patch = self._three_way(target, live)
                if patch == "{}":
                    break
                try:
                    live = await self._send(target, patch)
                    break
                except Conflict:
                    if attempt == RETRIES:
                        raise
                if attempt:
                    await self._session.clock.sleep(BACK_OFF)
                live = await self._get(target)
        except (Conflict, Invalid) as err:
            if not self._request.options.force:
                err.message = self._patching(target, patch, err.message)
                raise
            live = await self._replace(target, live)
        except ApiError as err:
            err.message = self._patching(target, patch, err.message)
            raise
        target.live = live
        warn_if_deleting(live)
        return "unchanged" if patch == "{}" else "configured"

    def _patching(self, target: Target, patch: str, message: str) -> str:
        doing = f"error when applying patch:\n{patch}\nto:\n{target.described}\nfor:"
        return f'{doing} "{target.document.source}": {message}'

    def _three_way(self, target: Target, live: Message) -> str:
        modified = lastapplied.annotated(target.configuration)
        current = encode.to_dict(live)
        try:
            original = lastapplied.of(live)
            patch = changes.three_way(original, modified, current, live, overwrite=self._request.options.overwrite)
        except (PatchError, ValueError) as err:
            raise Failed(
                f'error: error when applying patch:\n\nto:\n{target.described}\nfor: "{target.document.source}": {err}'
            ) from err
        return json.dumps(patch, separators=(",", ":"), sort_keys=True, ensure_ascii=False)

    async def _send(self, target: Target, patch: str) -> Message:
        document = target.document
        return await self._client.patch(
            document.resource,
            document.name,
            patch.encode(),
            changes.type_for(document.obj),
            target.namespace,
            **self._write_options(),
        )

    async def _get(self, target: Target) -> Message:
        return await self._client.get(target.document.resource, target.document.name, target.namespace)

    async def _replace(self, target: Target, live: Message) -> Message:
        """Delete the object and create it anew; where that fails, bring back what was there."""
        from kubelab.kctl import deleting

        info = Info(target.document.resource, target.document.name, target.namespace)
        await deleting.delete_and_wait(
            self._client,
            info,
            self._session.clock,
            grace=self._request.grace,
            policy=self._request.policy,
            seconds=self._request.options.timeout,
        )
        lastapplied.save(target.document.obj, target.configuration)
        try:
            return await self._client.create(target.document.obj, target.namespace, **self._write_options())
        except ApiError as err:
            meta_of(live).ClearField("resourceVersion")
            meta_of(live).ClearField("uid")
            try:
                await self._client.create(live, target.namespace, **self._write_options())
            except ApiError as another:
                err.message = (
                    "An error occurred force-replacing the existing object with the newly provided one:\n\n"
                    f"{err.message}.\n\nAdditionally, an error occurred attempting to restore the original object:\n\n"
                    f"{another.message}"
                )
            raise

    def _write_options(self) -> dict[str, Any]:
        return {
            "dry_run": self._request.printer.server,
            "field_manager": self._request.field_manager,
            "field_validation": field_validation(self._request.options.validate),
        }


def warn_if_deleting(obj: Message) -> None:
    """Say that a change of an object that is going will not last."""
    if is_terminating(obj):
        name = escaped(meta_of(obj).name)
        print(f"Warning: Detected changes to resource {name} which is currently being deleted.", file=sys.stderr)
