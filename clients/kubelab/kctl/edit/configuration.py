"""``kctl apply edit-last-applied``: changes in the user's editor the configuration that was applied last."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubelab.kctl import builder, visitor
from kubelab.kctl.apply.request import CLIENT_SIDE_MANAGER
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import (
    OUTPUT,
    RECURSIVE,
    VALIDATE,
    FilenameOptions,
    ResourceOptions,
    field_validation,
)
from kubelab.kctl.edit import before
from kubelab.kctl.edit.text import LAST_APPLIED_HEADER
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.resource import Info
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubelab.apimachinery.manifest.decode import Document
    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class EditLastAppliedOptions(FilenameOptions):
    field_manager: str
    output: str
    validate: str
    windows_line_endings: bool


def _edit(session: Session, args: tuple[str, ...], options: EditLastAppliedOptions) -> int:
    from kubelab.kctl import failures

    field_validation(options.validate)
    if options.output not in ("", "yaml", "json"):
        raise UsageProblem("The flag 'output' must be one of yaml|json")
    chosen = ResourceOptions(options.filename, options.recursive, "")
    selection = builder.build(session, args, chosen, whole_types=True)
    found: list[tuple[Info, dict[str, Any]]] = []

    async def read_all(client: Client) -> visitor.Errors:
        async def read(info: Info) -> None:
            from kubelab.kctl.apply import lastapplied

            obj = await client.get(info.resource, info.name, info.namespace)
            if lastapplied.has(obj):
                found.append((info, lastapplied.of(obj)))

        infos = [i for item in selection.items async for i in visitor.infos(client, item, session.namespace)]
        return await visitor.continue_on_error(infos, read)

    if errors := session.run(read_all):
        return failures.report(errors, session)
    if not found:
        raise UsageProblem(
            "no last-applied-configuration annotation found on resources, to create the annotation, use command `kctl "
            "apply set-last-applied --create-annotation`"
        )
    documents = _edited(session, options, [configuration for _, configuration in found])
    return session.run(lambda client: _write_all(client, session, options, found, documents)) if documents else 0


def _edited(
    session: Session, options: EditLastAppliedOptions, configurations: Sequence[dict[str, Any]]
) -> list[Document]:
    """Let the user edit the configurations until they can be read; nothing where they are to stay."""
    from kubelab.apimachinery.manifest import encode
    from kubelab.apimachinery.manifest.decode import decode

    def read(text: str) -> list[Document]:
        return decode(text, "edited-file", None if field_validation(options.validate) == "Strict" else [])

    whole = configurations[0] if len(configurations) == 1 else {**encode.list_to_dict([]), "items": [*configurations]}
    as_json = options.output == "json"
    return before.edited(
        session,
        encode.to_json(whole) if as_json else encode.to_yaml(whole),
        read,
        top=LAST_APPLIED_HEADER,
        suffix=".json" if as_json else ".yaml",
        windows=options.windows_line_endings,
    )


async def _write_all(
    client: Client,
    session: Session,
    options: EditLastAppliedOptions,
    found: Sequence[tuple[Info, dict[str, Any]]],
    documents: Sequence[Document],
) -> int:
    from kubelab.kctl import files
    from kubelab.kctl.apply import lastapplied, setting

    for document in documents:
        info, applied = _original_of(document, found, session)
        if document.written == applied:
            print(f"{info.noun} skipped", flush=True)
            continue
        text = lastapplied.encoded(document.written)
        namespace = files.namespace_of(document, session)
        await setting.write(client, document, namespace, text, manager=options.field_manager)
        print(f"{info.noun} edited", flush=True)
    return 0


def _original_of(
    document: Document, found: Sequence[tuple[Info, dict[str, Any]]], session: Session
) -> tuple[Info, dict[str, Any]]:
    from kubelab.kctl import files

    wanted = Info(document.resource, document.name, files.namespace_of(document, session))
    pair = next((pair for pair in found if pair[0] == wanted), None)
    if pair is None:
        shown = json.dumps(document.written.get("metadata"), ensure_ascii=False)
        raise Failed(f"error: no original object found for {document.resource.kind} {shown}")
    return pair


EDIT_LAST_APPLIED = Command(
    "edit-last-applied",
    run=_edit,
    options=EditLastAppliedOptions,
    flags=(
        Flag("--field-manager", default=CLIENT_SIDE_MANAGER, help="Name of the manager used to track field ownership."),
        Flag("--filename", "-f", kind="csv", help="Filename, directory, or URL to files to use to edit the resource"),
        OUTPUT,
        RECURSIVE,
        VALIDATE,
        Flag("--windows-line-endings", kind="bool", help="End the lines of the file with CR LF."),
    ),
    about="""\
Edit the latest last-applied-configuration annotations of resources from the default editor.

 It opens the editor that your KUBE_EDITOR or EDITOR environment variables name, or falls back to 'vi'. You can edit \
several objects, although changes are applied one at a time.

 The default format is YAML. To edit in JSON, specify "-o json".""",
    examples="""\
# Edit the last-applied-configuration annotations by type/name in YAML
kctl apply edit-last-applied deployment/nginx

# Edit the last-applied-configuration annotations by file in JSON
kctl apply edit-last-applied -f deploy.yaml -o json
""",
    usage="kctl apply edit-last-applied (RESOURCE/NAME | -f FILENAME)",
)
