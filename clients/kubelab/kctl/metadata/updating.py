"""Changes one map of the metadata of each chosen object, on the server or in a file alone (``--local``)."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import builder, changes, recording, visitor
from kubelab.kctl.commonflags import ResourceOptions
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.pairs import Changes, split
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info, ResourceSelection
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.meta.v1 import meta_pb2
    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class MetadataOptions(ResourceOptions):
    """The options that ``label`` and ``annotate`` share."""

    all: bool
    all_namespaces: bool
    dry_run: str
    field_manager: str
    field_selector: str
    list: bool
    local: bool
    output: str
    overwrite: bool
    record: bool
    resource_version: str

    @property
    def selecting(self) -> bool:
        return self.all or bool(self.selector or self.field_selector)


@dataclass(frozen=True, slots=True)
class MetadataMap:
    """A map of an object's metadata, and what kubectl says of it.

    ``conflict`` words what stands there already and may not be overwritten, "" for nothing; ``done`` names a change.
    """

    noun: str  # label
    plural: str
    example: str  # kubectl's file in the messages about --local
    of: Callable[[meta_pb2.ObjectMeta], MutableMapping[str, str]]
    parse: Callable[[Sequence[str]], Changes]
    conflict: Callable[[dict[str, str], Changes], str]
    done: Callable[[dict[str, str], dict[str, str], bool], str]
    report_missing: bool  # say that a key to remove is not there


def run(kind: MetadataMap, session: Session, args: tuple[str, ...], options: MetadataOptions) -> int:
    """Do what the command line says. Raises UsageProblem in kubectl's words."""
    recording.warn(session)
    resources, pairs = split(args, kind.noun)
    wanted = kind.parse(pairs)
    _check(kind, options, resources, wanted)
    updater = _Updater(kind, session, wanted, options, ResultPrinter.of(options.output, options.dry_run))
    if options.local:
        return updater.run_local()
    selection = builder.build(
        session, resources, options, selecting=options.selecting, all_namespaces=options.all_namespaces
    )
    return visitor.run(session, lambda client: updater.run(client, selection))


def _check(kind: MetadataMap, options: MetadataOptions, resources: Sequence[str], wanted: Changes) -> None:
    if options.list and options.output:
        raise UsageProblem("--list and --output may not be specified together")
    if options.all and options.selector:
        raise UsageProblem("cannot set --all and --selector at the same time")
    if options.all and options.field_selector:
        raise UsageProblem("cannot set --all and --field-selector at the same time")
    if options.local:
        files = f"-f {kind.example}.yaml or --filename={kind.example}.json"
        if options.dry_run == "server":
            raise UsageProblem("cannot specify --local and --dry-run=server - did you mean --dry-run=client?")
        if resources:
            raise UsageProblem(f"can only use local files by {files} when --local=true is set")
        if not options.filename:
            raise UsageProblem(f"one or more files must be specified as {files}")
    elif not resources and not options.filename:
        raise UsageProblem("one or more resources must be specified as <resource> <name> or <resource>/<name>")
    if not wanted and not options.list:
        raise UsageProblem(f"at least one {kind.noun} update is required")


class _Updater:
    def __init__(
        self, kind: MetadataMap, session: Session, wanted: Changes, options: MetadataOptions, printer: ResultPrinter
    ) -> None:
        self._kind, self._session, self._wanted = kind, session, wanted
        self._options, self._printer = options, printer

    def run_local(self) -> int:
        """Change what files hold, without a server."""
        from kubelab.kctl import failures, files

        documents = files.read(self._session, self._options)
        single = len(documents) == 1 or files.imply_single(self._options)
        self._check_single(single)
        errors: visitor.Errors = []
        for document in documents:
            try:
                done, _ = self._change(document.obj)
            except Failed as err:
                errors.append(err)
                continue
            self._show(document.obj, done, document.resource.kind, single, as_written=True)
        return failures.report(errors, self._session)

    async def run(self, client: Client, selection: ResourceSelection) -> visitor.Errors:
        infos: list[Info] = []
        for item in selection.items:
            namespace = "" if self._options.all_namespaces else self._session.namespace
            infos += [
                info
                async for info in visitor.infos(
                    client,
                    item,
                    namespace,
                    label_selector=self._options.selector,
                    field_selector=self._options.field_selector,
                )
            ]
        single = len(infos) == 1 and all(item.name is not None for item in selection.items)
        if self._options.filename:
            from kubelab.kctl import files

            single = single or files.imply_single(self._options)
        self._check_single(single)
        return await visitor.continue_on_error(infos, lambda info: self._update(client, info, single))

    def _check_single(self, single: bool) -> None:
        if self._options.resource_version and not single:
            raise Failed("error: --resource-version may only be used with a single resource")

    async def _update(self, client: Client, info: Info, single: bool) -> None:
        from kubelab.apimachinery.messages import deep_copy
        from kubelab.apimachinery.meta import meta_of
        from kubelab.apimachinery.patch.types import PatchType

        obj = await client.get(info.resource, info.name, info.namespace)
        before = deep_copy(obj)
        if self._options.resource_version:
            meta_of(before).resourceVersion = ""
        done, missing = self._change(obj)
        if not (self._options.list or self._printer.dry):
            for key in missing:
                print(f'{self._kind.noun} "{escaped(key)}" not found.')
            if self._options.record:
                recording.record(self._session, obj)
            obj = await changes.send(
                client,
                info,
                before,
                obj,
                PatchType.MERGE,
                dry_run=self._printer.server,
                field_manager=self._options.field_manager,
            )
        self._show(obj, done, info.resource.kind, single)

    def _change(self, obj: Message) -> tuple[str, list[str]]:
        """Change an object; gives what to say of it, and which keys to remove it did not have."""
        from kubelab.apimachinery.meta import meta_of

        metadata = meta_of(obj)
        entries = self._kind.of(metadata)
        before = dict(entries)
        if not self._options.overwrite and (problem := self._kind.conflict(before, self._wanted)):
            raise Failed(f"error: {problem}")
        after = self._wanted.applied_to(before)
        entries.clear()
        entries.update(after)
        if self._options.resource_version:
            metadata.resourceVersion = self._options.resource_version
        missing = [key for key in self._wanted.remove if key not in before] if self._kind.report_missing else []
        return self._kind.done(before, after, self._options.overwrite), missing

    def _show(self, obj: Message, done: str, kind: str, single: bool, *, as_written: bool = False) -> None:
        if not self._options.list:
            print(self._printer.show(obj, done, as_written=as_written), end="", flush=True)
            return
        from kubelab.apimachinery import scheme
        from kubelab.apimachinery.meta import meta_of

        metadata = meta_of(obj)
        indent = "" if single else " "
        if not single:
            group = scheme.of_object(obj).group
            print(f"Listing {self._kind.plural} for {kind}.{group}/{escaped(metadata.name)}:")
        for key, value in sorted(self._kind.of(metadata).items()):
            print(f"{indent}{escaped(key)}={escaped(value)}")
