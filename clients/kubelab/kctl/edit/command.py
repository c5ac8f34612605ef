"""The command line of ``kctl edit``, and its loop: print, edit, read, patch, and again where that failed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubelab.kctl import builder, recording
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import (
    OUTPUT,
    RECURSIVE,
    SAVE_CONFIG,
    VALIDATE,
    FilenameOptions,
    ResourceOptions,
    field_manager,
    field_validation,
)
from kubelab.kctl.edit.text import (
    CANCELLED,
    EMPTY,
    HEADER,
    NO_VALID_CHANGES,
    Reason,
    header,
    is_empty,
    same,
    without_comments,
)
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.recording import RECORD
from kubelab.kctl.resource import Info
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.apimachinery.errors import ApiError
    from kubelab.apimachinery.manifest.decode import Document
    from kubelab.client.client import Client
    from kubelab.kctl import visitor

CHANGED_IDENTITY = "At least one of apiVersion, kind and name was changed"


@dataclass(frozen=True, slots=True)
class EditOptions(FilenameOptions):
    field_manager: str
    output: str
    output_patch: bool
    record: bool
    save_config: bool
    subresource: str
    validate: str
    windows_line_endings: bool


@dataclass(slots=True)
class Attempt:
    """What became of one round: why it failed, and which objects the server did not take."""

    reasons: list[Reason] = field(default_factory=list[Reason])
    retryable: int = 0
    gone: int = 0


def _edit(session: Session, args: tuple[str, ...], options: EditOptions) -> int:
    recording.warn(session)
    field_validation(options.validate)
    if options.output not in ("", "yaml", "json"):
        raise UsageProblem("The flag 'output' must be one of yaml|json")
    chosen = ResourceOptions(options.filename, options.recursive, "")
    selection = builder.build(session, args, chosen, whole_types=True)
    objects: list[tuple[Info, Message]] = []
    errors = session.run(lambda client: _read(client, session, selection.items, objects))
    if errors:
        from kubelab.kctl import failures

        return failures.report(errors, session)
    if not objects:
        raise UsageProblem("edit cancelled, no objects found")
    return _Editing(session, options, objects).run()


async def _read(
    client: Client, session: Session, items: Sequence[Any], objects: list[tuple[Info, Message]]
) -> visitor.Errors:
    from kubelab.kctl import visitor

    async def read(info: Info) -> None:
        objects.append((info, await client.get(info.resource, info.name, info.namespace)))

    infos = [info for item in items async for info in visitor.infos(client, item, session.namespace)]
    return await visitor.continue_on_error(infos, read)


class _Editing:
    def __init__(self, session: Session, options: EditOptions, objects: list[tuple[Info, Message]]) -> None:
        self._session, self._options, self._objects = session, options, objects
        self._file: Path | None = None

    def run(self) -> int:
        from kubelab.kctl.edit import editor

        original = self._printed()
        edited, attempt = "", Attempt()
        while True:
            failed = bool(attempt.reasons)
            body = without_comments(edited) if failed else original
            before, previous = edited, self._file
            edited, self._file = editor.edit(
                header(HEADER, attempt.reasons, self._suffix) + body,
                self._session.factory.environ,
                suffix=self._suffix,
                windows=self._options.windows_line_endings,
            )
            if previous is not None:
                previous.unlink(missing_ok=True)
            if failed and same(before, edited):
                return self._stored(f"error: {NO_VALID_CHANGES}")
            if same(edited, original):
                return self._cancelled(CANCELLED)
            if is_empty(edited):
                return self._cancelled(EMPTY)
            attempt = Attempt()
            if (documents := self._parsed(edited, attempt)) is None:
                continue
            self._session.run(lambda client, d=documents, a=attempt: self._patch_all(client, d, a))
            if attempt.retryable:
                print(f"You can run `kctl replace -f {self._file}` to try this update again.", file=sys.stderr)
                return 1
            if attempt.gone:
                print(f'The edits you made on deleted resources have been saved to "{self._file}"', file=sys.stderr)
                return 1
            if not attempt.reasons:
                self._file.unlink(missing_ok=True)
                return 0

    @property
    def _suffix(self) -> str:
        return ".json" if self._options.output == "json" else ".yaml"

    def _printed(self) -> str:
        from kubelab.apimachinery.manifest import encode

        documents = [encode.to_dict(obj) for _, obj in self._objects]
        for document in documents:
            document["metadata"].pop("managedFields", None)
        whole = documents[0] if len(documents) == 1 else {**encode.list_to_dict([]), "items": documents}
        return encode.to_json(whole) if self._options.output == "json" else encode.to_yaml(whole)

    def _cancelled(self, why: str) -> int:
        if self._file is not None:
            self._file.unlink(missing_ok=True)
        print(why, file=sys.stderr)
        return 0

    def _stored(self, problem: str) -> int:
        """End with an error; the user's text stays in its file."""
        print(f'A copy of your changes has been stored to "{self._file}"', file=sys.stderr)
        raise Failed(problem)

    def _parsed(self, edited: str, attempt: Attempt) -> list[Document] | None:
        """Read the edited text; None, with the reasons in ``attempt``, where that cannot be."""
        from kubelab.apimachinery.manifest.decode import decode
        from kubelab.apimachinery.manifest.diagnostics import DecodeStage, ManifestError

        try:
            documents = decode(without_comments(edited), "edited-file")
        except ManifestError as err:
            syntax = any(d.stage is DecodeStage.PARSE for d in err.diagnostics)
            problem = "had a syntax error" if syntax else "failed validation"
            attempt.reasons += [Reason(f"The edited file {problem}: {d.message}") for d in err.diagnostics]
            if not syntax:
                print(f"error: {self._objects[0][0].resource.plural} is invalid", file=sys.stderr)
            return None
        if not documents:
            attempt.reasons.append(Reason("The edited file had a syntax error: it holds no object"))
            return None
        return documents

    async def _patch_all(self, client: Client, documents: list[Document], attempt: Attempt) -> None:
        for document in documents:
            present = next((pair for pair in self._objects if _same(pair[1], document.obj)), None)
            if present is None:
                self._stored(f"error: {CHANGED_IDENTITY}")
            else:
                await self._patch(client, present, document, attempt)

    async def _patch(self, client: Client, present: tuple[Info, Message], document: Document, attempt: Attempt) -> None:
        import json

        from kubelab.apimachinery.errors import ApiError
        from kubelab.apimachinery.manifest import encode
        from kubelab.apimachinery.patch.errors import PatchError
        from kubelab.kctl import changes
        from kubelab.kctl.apply import lastapplied

        info, obj = present
        old, new = encode.to_dict(obj), encode.to_dict(document.obj)
        old["metadata"].pop("managedFields", None)
        if self._options.save_config or lastapplied.has(document.obj):
            new = lastapplied.annotated(new)
        try:
            patch = changes.two_way(old, new, obj, keep=("apiVersion", "kind", "metadata.name"))
        except PatchError:
            self._stored(f"error: {CHANGED_IDENTITY}")
            return
        if not patch or old == new:
            print(f"{info.noun} skipped", flush=True)
            return
        if self._options.record:
            patch.setdefault("metadata", {}).setdefault("annotations", {})[recording.CHANGE_CAUSE] = recording.line_of(
                self._session
            )
        text = json.dumps(patch, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        if self._options.output_patch:
            print(f"Patch: {text}", flush=True)
        try:
            await client.patch(
                info.resource,
                info.name,
                text.encode(),
                changes.type_for(obj),
                info.namespace,
                subresource=self._options.subresource,
                field_manager=self._options.field_manager,
                field_validation=field_validation(self._options.validate),
            )
        except ApiError as err:
            _note(err, info, attempt)
            return
        print(f"{info.noun} edited", flush=True)


def _note(err: ApiError, info: Info, attempt: Attempt) -> None:
    """Say that an object was not taken, and keep why, in kubectl's words."""
    from kubelab.apimachinery.errors import Invalid, NotFound
    from kubelab.apimachinery.terminal import escaped

    name = f'{info.resource.qualified} "{escaped(info.name)}"'
    if isinstance(err, Invalid):
        points = tuple(f"{cause.field}: {cause.message}" for cause in err.causes) or (err.message,)
        attempt.reasons.append(Reason(f"{name} was not valid", points))
        print(f"error: {name} is invalid", file=sys.stderr)
    elif isinstance(err, NotFound):
        attempt.gone += 1
        print(f"error: {name} could not be found on the server", file=sys.stderr)
    else:
        attempt.retryable += 1
        print(f"error: {name} could not be patched: {escaped(err.message)}", file=sys.stderr)


def _same(one: Message, other: Message) -> bool:
    """Say whether both are the same object: by uid, by name where the user took that out."""
    from kubelab.apimachinery.meta import meta_of

    first, second = meta_of(one), meta_of(other)
    if one.DESCRIPTOR.full_name != other.DESCRIPTOR.full_name:
        return False
    if second.uid:
        return first.uid == second.uid
    return (first.namespace, first.name) == (second.namespace, second.name)


EDIT = Command(
    "edit",
    run=_edit,
    options=EditOptions,
    flags=(
        field_manager("edit"),
        Flag(
            "--filename",
            "-f",
            kind="csv",
            help="Filename, directory, or URL to files to use to edit the resource",
        ),
        OUTPUT,
        Flag("--output-patch", kind="bool", help="Output the patch if the resource is edited."),
        RECORD,
        RECURSIVE,
        SAVE_CONFIG,
        Flag(
            "--subresource",
            help="If specified, edit will operate on the subresource of the requested object. This flag is beta and "
            "may change in the future.",
        ),
        VALIDATE,
        Flag("--windows-line-endings", kind="bool", help="End the lines of the file with CR LF."),
    ),
    about="""\
Edit a resource from the default editor.

 The edit command allows you to directly edit any API resource you can retrieve via the command-line tools. It will \
open the editor defined by your KUBE_EDITOR, or EDITOR environment variables, or fall back to 'vi'. You can edit \
multiple objects, although changes are applied one at a time. The command accepts file names as well as command-line \
arguments, although the files you point to must be previously saved versions of resources.

 The default format is YAML. To edit in JSON, specify "-o json".

 In the event an error occurs while updating, a temporary file will be created on disk that contains your unapplied \
changes. The most common error when updating a resource is another editor changing the resource on the server. When \
this occurs, you will have to apply your changes to the newer version of the resource, or update your temporary saved \
copy to include the latest resource version.""",
    examples="""\
# Edit the service named 'registry'
kctl edit svc/registry

# Use an alternative editor
KUBE_EDITOR="nano" kctl edit svc/registry

# Edit the deployment 'web' in JSON
kctl edit deployment/web -o json

# Edit the deployment 'mydeployment' in YAML and save the modified config in its annotation
kctl edit deployment/mydeployment -o yaml --save-config
""",
    usage="kctl edit (RESOURCE/NAME | -f FILENAME)",
)
