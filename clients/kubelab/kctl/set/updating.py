"""Changes each chosen object, on the server or in files alone (``--local``): what every ``kctl set …`` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from kubelab.apimachinery.meta import meta_of
from kubelab.kctl import builder, changes, recording, visitor
from kubelab.kctl.commonflags import FilenameOptions, ResourceOptions
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info, ResourceSelection, noun
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.client.client import Client

LOCAL_RESOURCE = """\
you must specify resources by --filename when --local is set.
Example resource specifications include:
   '-f rsrc.yaml'
   '--filename=rsrc.json'"""
ALL_AND_SELECTOR = "cannot set --all and --selector at the same time"


@dataclass(frozen=True, slots=True)
class SetOptions(FilenameOptions):
    """The options that every ``kctl set …`` has."""

    all: bool
    dry_run: str
    field_manager: str
    local: bool
    output: str
    record: bool


@dataclass(frozen=True, slots=True)
class Update:
    """One change.

    ``change`` changes an object in place and returns what else is wrong, while the change is made all the same; it
    raises Failed where it cannot be made. ``done`` is said of a changed object. ``failing`` begins the error of one
    that the server refuses, "" for the server's words alone. Without ``skip_unchanged`` an object is written, and
    named, even if nothing changed. ``resource_version`` is the only one that may be changed.
    """

    done: str
    failing: str
    change: Callable[[Message], Sequence[str]]
    skip_unchanged: bool = True
    quiet: bool = False
    resource_version: str = ""


def run(session: Session, resources: Sequence[str], options: SetOptions, update: Update, *, selector: str = "") -> int:
    """Change the objects that ``resources``, files, ``--all`` or the selector choose."""
    recording.warn(session)
    if options.local and options.dry_run == "server":
        raise UsageProblem("cannot specify --local and --dry-run=server - did you mean --dry-run=client?")
    updater = _Updater(session, options, update, ResultPrinter.of(options.output, options.dry_run, typed=True))
    if options.local:
        return updater.run_local()
    chosen = ResourceOptions(options.filename, options.recursive, selector)
    selection = builder.build(session, resources, chosen, selecting=options.all or bool(selector))
    return visitor.run(session, lambda client: updater.run(client, selection, selector))


def require_files(resources: Sequence[str], options: SetOptions) -> None:
    """Refuse resources with ``--local``, which knows only files, and nothing at all."""
    if options.local and resources:
        raise UsageProblem(LOCAL_RESOURCE)
    if not resources and not options.filename:
        raise UsageProblem(builder.NOTHING_GIVEN)


class _Updater:
    def __init__(self, session: Session, options: SetOptions, update: Update, printer: ResultPrinter) -> None:
        self._session, self._options, self._update, self._printer = session, options, update, printer
        self._problems: list[str] = []
        self._refused: visitor.Errors = []

    def run_local(self) -> int:
        from kubelab.apimachinery.messages import deep_copy
        from kubelab.kctl import failures, files

        documents = files.read(self._session, self._options)
        if not documents:
            raise UsageProblem("no objects passed")
        for document in documents:
            before = deep_copy(document.obj)
            if self._change(document.obj, before, f"{noun(document.resource)}/{document.name}"):
                self._print(document.obj)
        return failures.report(self._errors(), self._session)

    async def run(self, client: Client, selection: ResourceSelection, selector: str) -> visitor.Errors:
        """Read every object before one is changed; where one cannot be read, none is."""
        objects: list[tuple[Info, Message]] = []

        async def read(info: Info) -> None:
            objects.append((info, await client.get(info.resource, info.name, info.namespace)))

        infos: list[Info] = []
        for item in selection.items:
            infos += [
                info async for info in visitor.infos(client, item, self._session.namespace, label_selector=selector)
            ]
        if errors := await visitor.continue_on_error(infos, read):
            return errors
        for info, obj in objects:
            await self._write(client, info, obj)
        return self._errors()

    async def _write(self, client: Client, info: Info, obj: Message) -> None:
        from kubelab.apimachinery.errors import ApiError
        from kubelab.apimachinery.messages import deep_copy
        from kubelab.apimachinery.patch.types import PatchType

        before = deep_copy(obj)
        if self._update.resource_version:
            meta_of(before).resourceVersion = ""
        if not self._change(obj, before, f"{info.resource.plural}/{info.name}"):
            return
        if not self._printer.dry:
            if self._options.record:
                recording.record(self._session, obj)
            try:
                obj = await changes.send(
                    client,
                    info,
                    before,
                    obj,
                    PatchType.STRATEGIC,
                    dry_run=self._printer.server,
                    field_manager=self._options.field_manager,
                )
            except ApiError as err:
                if self._update.failing:
                    self._problems.append(f"{self._update.failing}{err.message}")
                else:
                    self._refused.append(err)
                return
        self._print(obj)

    def _change(self, obj: Message, before: Message, name: str) -> bool:
        """Change an object; says whether it is to be written."""
        try:
            self._problems += [f"error: {problem}" for problem in self._update.change(obj)]
        except Failed as err:
            self._problems.append(f"error: {name} {err}" if self._update.skip_unchanged else str(err))
            return False
        if self._update.resource_version:
            meta_of(obj).resourceVersion = self._update.resource_version
        if self._update.quiet:
            return False
        return not self._update.skip_unchanged or obj != before

    def _print(self, obj: Message) -> None:
        print(self._printer.show(obj, self._update.done), end="", flush=True)

    def _errors(self) -> visitor.Errors:
        """Give the problems as one error: kubectl begins each with "error: ", however many there are."""
        if not self._problems:
            return self._refused
        if len(self._problems) == 1 and not self._problems[0].startswith("error: "):
            return [Failed(f"error: {self._problems[0]}")]
        return [Failed("\n".join(self._problems))]
