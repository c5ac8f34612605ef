"""``kctl patch``: changes fields of objects by a patch, on the server or in a file alone (``--local``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubelab.kctl import builder, recording, visitor
from kubelab.kctl.changes import descriptor_of
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, OUTPUT, RECURSIVE, FilenameOptions, ResourceOptions, field_manager
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.recording import RECORD
from kubelab.kctl.resource import Info
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from kubelab.apimachinery.patch.types import PatchType
    from kubelab.client.client import Client

TYPES = ("json", "merge", "strategic")


@dataclass(frozen=True, slots=True)
class PatchOptions(FilenameOptions):
    dry_run: str
    field_manager: str
    local: bool
    output: str
    patch: str
    patch_file: str
    record: bool
    subresource: str
    type: str


def _patch(session: Session, args: tuple[str, ...], options: PatchOptions) -> int:
    recording.warn(session)
    _check(args, options)
    patch = _read(options)
    # kubectl says nothing of a dry run where it knows only files
    printer = ResultPrinter.of(options.output, "none" if options.local else options.dry_run)
    patcher = _Patcher(session, options, patch, printer)
    if options.local:
        return patcher.run_local()
    selection = builder.build(session, args, ResourceOptions(options.filename, options.recursive, ""))
    infos = [Info(i.resource, i.name or "", i.namespace or session.namespace) for i in selection.items]
    if not infos:
        raise UsageProblem("no objects passed to patch")
    return visitor.run(
        session, lambda client: visitor.continue_on_error(infos, lambda info: patcher.patch(client, info))
    )


def _check(args: tuple[str, ...], options: PatchOptions) -> None:
    if options.patch and options.patch_file:
        raise UsageProblem("cannot specify --patch and --patch-file together")
    if not options.patch and not options.patch_file:
        raise UsageProblem("must specify --patch or --patch-file containing the contents of the patch")
    if options.local and args:
        raise UsageProblem("cannot specify --local and server resources")
    if options.local and options.dry_run == "server":
        raise UsageProblem("cannot specify --local and --dry-run=server - did you mean --dry-run=client?")
    if options.type.lower() not in TYPES:
        raise UsageProblem(f'--type must be one of [{" ".join(TYPES)}], not "{options.type}"')


def _read(options: PatchOptions) -> bytes:
    """Give the patch as JSON: it may be written in YAML."""
    text = options.patch
    if options.patch_file:
        try:
            text = Path(options.patch_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as err:
            reason = err.strerror if isinstance(err, OSError) else "not UTF-8 text"
            problem = f"unable to read patch file: open {options.patch_file}: {(reason or '').lower()}"
            raise UsageProblem(problem) from err
    if text.lstrip().startswith("{"):
        return text.encode()
    from kubelab.apimachinery.manifest.diagnostics import ManifestError
    from kubelab.apimachinery.manifest.yamlnodes import parse, plain

    try:
        documents = parse(text, "patch")
    except ManifestError as err:
        raise UsageProblem(f'unable to parse "{text}": {err.diagnostics[0].message}') from err
    return json.dumps(plain(documents[0]) if documents else None, ensure_ascii=False).encode()


class _Patcher:
    def __init__(self, session: Session, options: PatchOptions, patch: bytes, printer: ResultPrinter) -> None:
        self._session, self._options, self._patch, self._printer = session, options, patch, printer

    @property
    def _type(self) -> PatchType:
        from kubelab.apimachinery.patch.types import PatchType

        return {"json": PatchType.JSON, "merge": PatchType.MERGE}.get(self._options.type.lower(), PatchType.STRATEGIC)

    def run_local(self) -> int:
        """Patch what files hold, as they hold it, and print it."""
        from kubelab.kctl import failures, files
        from kubelab.kctl.resource import noun

        documents = files.read(self._session, self._options)
        if not documents:
            raise UsageProblem("no objects passed to patch")
        errors: visitor.Errors = []
        for document in documents:
            try:
                before = document.written
                after = self._apply(before, descriptor_of(document.obj))
            except Failed as err:
                errors.append(err)
                continue
            name = f"{noun(document.resource)}/{document.name}"
            print(self._printer.show_document(after, name, _did(before != after)), end="")
        return failures.report(errors, self._session)

    async def patch(self, client: Client, info: Info) -> None:
        """Patch one object on the server, or a copy of it for a client's dry run."""
        from kubelab.apimachinery.manifest import encode

        options = self._options
        before = await client.get(info.resource, info.name, info.namespace)
        if self._printer.dry:
            document = encode.to_dict(before)
            patched = self._apply(document, descriptor_of(before))
            print(self._printer.show_document(patched, info.noun, _did(document != patched)), end="", flush=True)
            return
        sent: dict[str, Any] = {"dry_run": self._printer.server, "field_manager": options.field_manager}
        if options.subresource == "scale":
            scale = await client.patch_scale(info.resource, info.name, self._patch, self._type, info.namespace, **sent)
            line = self._printer.show_document(encode.to_dict(scale), f"scale.autoscaling/{info.name}", _did(True))
            print(line, end="", flush=True)
            return
        after = await client.patch(
            info.resource,
            info.name,
            self._patch,
            self._type,
            info.namespace,
            subresource=options.subresource,
            **sent,
        )
        did = _did(before != after)
        if options.record and not self._printer.server:
            after = await self._record(client, info, sent)
        print(self._printer.show(after, did), end="", flush=True)

    async def _record(self, client: Client, info: Info, sent: dict[str, Any]) -> Any:
        from kubelab.apimachinery.patch.types import PatchType

        cause = {"metadata": {"annotations": {recording.CHANGE_CAUSE: recording.line_of(self._session)}}}
        patch = json.dumps(cause).encode()
        return await client.patch(info.resource, info.name, patch, PatchType.MERGE, info.namespace, **sent)

    def _apply(self, document: dict[str, Any], message: Descriptor) -> dict[str, Any]:
        """Apply the patch here. Raises Failed with upstream's words."""
        from kubelab.apimachinery.patch import jsonpatch, merge, strategic
        from kubelab.apimachinery.patch.errors import PatchError
        from kubelab.apimachinery.patch.types import PatchType

        try:
            if self._type is PatchType.JSON:
                return jsonpatch.apply(document, jsonpatch.decode(self._patch))
            patch = json.loads(self._patch)
            if not isinstance(patch, dict):
                raise Failed("error: invalid JSON document")
            if self._type is PatchType.MERGE:
                return merge.apply(document, patch)
            return strategic.apply(document, patch, message)
        except json.JSONDecodeError as err:
            raise Failed("error: invalid JSON document") from err
        except PatchError as err:
            raise Failed(f"error: {err}") from err


def _did(changed: bool) -> str:
    return "patched" if changed else "patched (no change)"


PATCH = Command(
    "patch",
    run=_patch,
    options=PatchOptions,
    flags=(
        DRY_RUN,
        field_manager("patch"),
        Flag(
            "--filename",
            "-f",
            kind="csv",
            help="Filename, directory, or URL to files identifying the resource to update",
        ),
        Flag(
            "--local",
            kind="bool",
            help="If true, patch will operate on the content of the file, not the server-side resource.",
        ),
        OUTPUT,
        Flag("--patch", "-p", help="The patch to be applied to the resource JSON file."),
        Flag("--patch-file", help="A file containing a patch to be applied to the resource."),
        RECORD,
        RECURSIVE,
        Flag(
            "--subresource",
            help="If specified, patch will operate on the subresource of the requested object. This flag is beta and "
            "may change in the future.",
        ),
        Flag("--type", default="strategic", help="The type of patch being provided; one of [json merge strategic]"),
    ),
    about="""\
Update fields of a resource using strategic merge patch, a JSON merge patch, or a JSON patch.

 JSON and YAML formats are accepted.""",
    examples="""\
# Partially update a node using a strategic merge patch, specifying the patch as JSON
kctl patch node node-1 -p '{"spec":{"unschedulable":true}}'

# Partially update a node using a strategic merge patch, specifying the patch as YAML
kctl patch node node-1 -p $'spec:\\n unschedulable: true'

# Partially update a node identified by the type and name specified in "node.json" using strategic merge patch
kctl patch -f node.json -p '{"spec":{"unschedulable":true}}'

# Update a container's image; spec.containers[*].name is required because it's a merge key
kctl patch pod web -p '{"spec":{"containers":[{"name":"node","image":"new image"}]}}'

# Update a container's image using a JSON patch with positional arrays
kctl patch pod web --type='json' -p='[{"op": "replace", "path": "/spec/containers/0/image", "value":"new image"}]'

# Update a deployment's replicas through the 'scale' subresource using a merge patch
kctl patch deployment web --subresource='scale' --type='merge' -p '{"spec":{"replicas":2}}'
""",
    usage="kctl patch (-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE]",
)
