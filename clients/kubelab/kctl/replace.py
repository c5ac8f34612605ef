"""``kctl replace``: puts the objects of files in the place of those on the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubelab.kctl import recording, visitor
from kubelab.kctl.command import Command, unexpected
from kubelab.kctl.commonflags import (
    CASCADE,
    DELETE_TIMEOUT,
    DELETE_WAIT,
    DRY_RUN,
    FORCE,
    GRACE_PERIOD,
    KUSTOMIZE,
    OUTPUT,
    RECURSIVE,
    SAVE_CONFIG,
    VALIDATE,
    FilenameOptions,
    field_manager,
    field_validation,
    require_files,
)
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.recording import RECORD
from kubelab.kctl.resource import EMPTY_NAME, Info, noun
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.apimachinery.manifest.decode import Document
    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class ReplaceOptions(FilenameOptions):
    cascade: str
    dry_run: str
    field_manager: str
    force: bool
    grace_period: int
    kustomize: str
    output: str
    raw: str
    record: bool
    save_config: bool
    subresource: str
    timeout: float
    validate: str
    wait: bool


def _replace(session: Session, args: tuple[str, ...], options: ReplaceOptions) -> int:
    from kubelab.kctl import delete, files

    recording.warn(session)
    validation = field_validation(options.validate)
    if options.grace_period >= 0 and not options.force:
        raise UsageProblem("--grace-period must have --force specified")
    if options.timeout and not options.force:
        raise UsageProblem("--timeout must have --force specified")
    unexpected(session, args)
    require_files(options.filename, options.kustomize)
    if options.raw:
        from kubelab.kctl import rawwrites

        return rawwrites.put(session, rawwrites.request_of(options.raw, options, output=options.output))
    printer = ResultPrinter.of(options.output, options.dry_run)
    policy = delete.policy_of(options.cascade)
    documents = files.read(session, options, validation)
    if not documents:
        raise UsageProblem("no objects passed to replace")
    replacer = _Replacer(session, options, printer, policy)
    if printer.dry:
        for document in documents:
            print(printer.show(replacer.prepared(document), "replaced", as_written=True), end="")
        return 0
    return visitor.run(session, lambda client: replacer.run(client, documents), endless=options.force)


class _Replacer:
    def __init__(self, session: Session, options: ReplaceOptions, printer: ResultPrinter, policy: str) -> None:
        self._session, self._options, self._printer, self._policy = session, options, printer, policy

    def prepared(self, document: Document) -> Message:
        """Put an object into its namespace, and its configuration into the annotation where that is wanted."""
        from kubelab.apimachinery.meta import meta_of
        from kubelab.kctl.apply import lastapplied

        meta = meta_of(document.obj)
        if document.resource.namespaced:
            meta.namespace = document.namespace or (
                self._session.likely_namespace if self._printer.dry else self._session.namespace
            )
        lastapplied.create_or_update(document, meta.namespace, create=self._options.save_config)
        if self._options.record:
            recording.record(self._session, document.obj)
        return document.obj

    async def run(self, client: Client, documents: Sequence[Document]) -> visitor.Errors:
        if not self._options.force:
            return await visitor.continue_on_error(documents, lambda document: self._update(client, document))
        for document in documents:
            await self._delete(client, document)
        return await visitor.continue_on_error(documents, lambda document: self._create(client, document))

    async def _update(self, client: Client, document: Document) -> None:
        """Update one object; without a resourceVersion in the file, whatever it is now is replaced."""
        from kubelab.apimachinery.errors import NotFound
        from kubelab.apimachinery.meta import meta_of
        from kubelab.kctl.files import naming

        obj = self.prepared(document)
        if not document.name:
            raise Failed(f'error: error when replacing "{document.source}": {EMPTY_NAME}')
        with naming("replacing", document.source):
            if not meta_of(obj).resourceVersion:
                try:
                    present = await client.get(document.resource, document.name, document.namespace)
                    meta_of(obj).resourceVersion = meta_of(present).resourceVersion
                except NotFound:
                    pass  # the server says so of the update itself
            update = client.update_status if self._options.subresource == "status" else client.update
            replaced = await update(obj, **self._sent())
        print(self._printer.show(replaced, "replaced"), end="", flush=True)

    async def _delete(self, client: Client, document: Document) -> None:
        from kubelab.apimachinery.errors import NotFound
        from kubelab.apimachinery.terminal import escaped
        from kubelab.kctl import deleting

        self.prepared(document)
        if not document.name:
            raise Failed(f'error: error when replacing "{document.source}": {EMPTY_NAME}')
        info = Info(document.resource, document.name, document.namespace)
        grace = self._options.grace_period
        try:
            await deleting.delete_and_wait(
                client,
                info,
                self._session.clock,
                grace=None if grace < 0 else max(1, grace),
                policy=self._policy,
                seconds=self._options.timeout,
            )
        except NotFound:
            return
        if self._options.output == "name":
            print(info.noun, flush=True)
        else:
            print(f'{noun(document.resource)} "{escaped(document.name)}" deleted', flush=True)

    async def _create(self, client: Client, document: Document) -> None:
        from kubelab.apimachinery.meta import meta_of
        from kubelab.kctl.files import naming

        meta_of(document.obj).ClearField("resourceVersion")
        with naming("replacing", document.source):
            created = await client.create(document.obj, document.namespace, **self._sent())
        print(self._printer.show(created, "replaced"), end="", flush=True)

    def _sent(self) -> dict[str, Any]:
        return {
            "dry_run": self._printer.server,
            "field_manager": self._options.field_manager,
            "field_validation": field_validation(self._options.validate),
        }


REPLACE = Command(
    "replace",
    run=_replace,
    options=ReplaceOptions,
    flags=(
        CASCADE,
        DRY_RUN,
        field_manager("replace"),
        Flag("--filename", "-f", kind="csv", help="The files that contain the configurations to replace."),
        FORCE,
        GRACE_PERIOD,
        KUSTOMIZE,
        OUTPUT,
        Flag("--raw", help="Raw URI to PUT to the server.  Uses the transport specified by the kubeconfig file."),
        RECORD,
        RECURSIVE,
        SAVE_CONFIG,
        Flag(
            "--subresource",
            help="If specified, replace will operate on the subresource of the requested object. This flag is beta "
            "and may change in the future.",
        ),
        DELETE_TIMEOUT,
        VALIDATE,
        DELETE_WAIT,
    ),
    about="""\
Replace a resource by file name or stdin.

 JSON and YAML formats are accepted. If replacing an existing resource, the complete resource spec must be provided. \
This can be obtained by

  $ kctl get TYPE NAME -o yaml""",
    examples="""\
# Replace a pod using the data in pod.yml
kctl replace -f ./pod.yml

# Replace a pod based on the YAML passed into stdin
cat pod.yml | kctl replace -f -

# Update a single-container pod's image version (tag) to v4
kctl get pod web -o yaml | sed 's/\\(image: myimage\\):.*$/\\1:v4/' | kctl replace -f -

# Force replace, delete and then re-create the resource
kctl replace --force -f ./pod.yml
""",
    usage="kctl replace -f FILENAME",
)
