"""``kctl apply set-last-applied``: makes the annotation of an object what a file has, and changes nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl import builder
from kubelab.kctl.apply.viewing import FILENAME
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, OUTPUT, CreateOptions, FilenameOptions
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from kubelab.apimachinery.manifest.decode import Document
    from kubelab.client.client import Client
    from kubelab.kctl.printers import ResultPrinter

MANAGER = "kubectl-set-last-applied"


@dataclass(frozen=True, slots=True)
class SetLastAppliedOptions(CreateOptions):
    create_annotation: bool
    filename: tuple[str, ...]


def _set(session: Session, args: tuple[str, ...], options: SetLastAppliedOptions) -> int:
    from kubelab.kctl import files
    from kubelab.kctl.printers import ResultPrinter

    del args  # as kubectl, which reads files alone
    if not options.filename:
        raise UsageProblem(builder.NOTHING_GIVEN)
    printer = ResultPrinter.of(options.output, options.dry_run)
    documents = files.read(session, FilenameOptions(options.filename, recursive=False))
    return session.run(lambda client: _set_all(client, session, documents, options, printer))


async def _set_all(
    client: Client,
    session: Session,
    documents: Sequence[Document],
    options: SetLastAppliedOptions,
    printer: ResultPrinter,
) -> int:
    """Look at every object before one is changed."""
    from kubelab.kctl import files
    from kubelab.kctl.apply import lastapplied

    changed: list[tuple[Document, Message, str]] = []
    for document in documents:
        namespace = files.namespace_of(document, session)
        described = files.described(document, namespace)
        with files.naming(f"retrieving current configuration of:\n{described}\nfrom server for:", document.source):
            live = await client.get(document.resource, document.name, namespace)
        if not lastapplied.has(live) and not options.create_annotation:
            raise Failed(
                f"error: no last-applied-configuration annotation found on resource: {document.name}, to create the "
                "annotation, run the command with --create-annotation"
            )
        text = lastapplied.encoded(lastapplied.configuration_of(document, namespace))
        if lastapplied.text_of(live) == text:
            print(f"set-last-applied {document.name}: no changes required.", flush=True)
        else:
            changed.append((document, live, text))
    for document, live, text in changed:
        obj = live
        if not printer.dry:
            obj = await write(client, document, files.namespace_of(document, session), text, dry_run=printer.server)
        print(printer.show(obj, "configured"), end="", flush=True)
    return 0


async def write(
    client: Client, document: Document, namespace: str, text: str, *, dry_run: bool = False, manager: str = MANAGER
) -> Message:
    """Set the annotation of an object on the server."""
    from kubelab.apimachinery.patch.types import PatchType
    from kubelab.kctl.apply import lastapplied

    patch = {"metadata": {"annotations": {lastapplied.ANNOTATION: text}}}
    return await client.patch(
        document.resource,
        document.name,
        json.dumps(patch, ensure_ascii=False).encode(),
        PatchType.MERGE,
        namespace,
        dry_run=dry_run,
        field_manager=manager,
    )


SET_LAST_APPLIED = Command(
    "set-last-applied",
    run=_set,
    options=SetLastAppliedOptions,
    flags=(
        Flag(
            "--create-annotation",
            kind="bool",
            help="Will create 'last-applied-configuration' annotations if current objects doesn't have one",
        ),
        DRY_RUN,
        FILENAME,
        OUTPUT,
    ),
    about="Set the latest last-applied-configuration annotations by setting it to match the contents of a file. This "
    "results in the last-applied-configuration being updated as though 'kctl apply -f <file>' was run, without "
    "updating any other parts of the object.",
    examples="""\
# Set the last-applied-configuration of a resource to match the contents of a file
kctl apply set-last-applied -f deploy.yaml

# Execute set-last-applied against each configuration file in a directory
kctl apply set-last-applied -f path/

# Set the last-applied-configuration of a resource to match the contents of a file; create the annotation if need be
kctl apply set-last-applied -f deploy.yaml --create-annotation=true
""",
    usage="kctl apply set-last-applied -f FILENAME",
)
