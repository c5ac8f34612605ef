"""``kctl delete``: by names, files or selectors; it waits until what it deleted is gone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import builder, visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import (
    ALL_NAMESPACES,
    CASCADE,
    DRY_RUN,
    FIELD_SELECTOR,
    FILENAME,
    GRACE_PERIOD,
    RECURSIVE,
    SELECTOR,
    ResourceOptions,
)
from kubelab.kctl.deleting import FOR_EVER, until_gone
from kubelab.kctl.flags import Flag, UsageProblem, parse_bool
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info, ResourceSelection, ResourceTuple, noun
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.client.client import Client

CASCADES = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}
FORCE_WARNING = (
    "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The "
    "resource may continue to run on the cluster indefinitely."
)
SCOPE_WARNING = "Warning: deleting cluster-scoped resources, not scoped to the provided namespace"


@dataclass(frozen=True, slots=True)
class DeleteOptions(ResourceOptions):
    all: bool
    all_namespaces: bool
    cascade: str
    dry_run: str
    field_selector: str
    force: bool
    grace_period: int
    ignore_not_found: bool
    interactive: bool
    now: bool
    output: str
    raw: str
    timeout: float
    wait: bool


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """The checked options of a deletion, with kubectl's defaults."""

    selection: ResourceSelection
    namespace: str
    label_selector: str
    field_selector: str
    grace: int | None
    policy: str
    wait: bool
    timeout: float
    force: bool
    ignore_not_found: bool
    interactive: bool
    printer: ResultPrinter
    warn_scope: bool


@dataclass(frozen=True, slots=True)
class _Deleted:
    info: Info
    uid: str


def _delete(session: Session, args: tuple[str, ...], options: DeleteOptions) -> int:
    if options.raw:
        from kubelab.kctl import rawwrites

        if args:
            raise UsageProblem("arguments may not be passed when --raw is specified")
        return rawwrites.delete(session, rawwrites.request_of(options.raw, options, output=options.output))
    grace = grace_of(options.grace_period, now=options.now, force=options.force)
    policy = policy_of(options.cascade)
    selecting = bool(options.selector or options.field_selector)
    if options.output not in ("", "name"):
        raise UsageProblem(f"unexpected -o output mode: {options.output}. We only support '-o name'")
    if options.all and selecting:
        raise UsageProblem("setting 'all' parameter but found a non empty selector. ")  # kubectl's words, space and all
    request = DeleteRequest(
        selection=builder.build(
            session,
            args,
            options,
            selecting=selecting or options.all,
            all_namespaces=options.all_namespaces,
            doing="error when deleting",
        ),
        namespace="" if options.all_namespaces else session.namespace,
        label_selector=options.selector,
        field_selector=options.field_selector,
        grace=grace,
        policy=policy,
        wait=options.wait,
        timeout=options.timeout or FOR_EVER,
        force=options.force,
        ignore_not_found=options.ignore_not_found or (options.all and not session.line.changed("ignore-not-found")),
        interactive=options.interactive,
        printer=ResultPrinter.of(options.output, options.dry_run),
        warn_scope=bool(session.namespace_flag) or options.all_namespaces,
    )
    return visitor.run(session, lambda client: _Deletion(client, session, request).run(), endless=True)


def policy_of(cascade: str) -> str:
    """Read ``--cascade``, also as it was written before Kubernetes 1.20."""
    try:
        named = "background" if parse_bool(cascade) else "orphan"
    except ValueError:
        if cascade not in CASCADES:
            message = f'invalid cascade value ({cascade}). Must be "background", "foreground", or "orphan"'
            raise UsageProblem(message) from None
        return CASCADES[cascade]
    print(
        f"warning: --cascade={cascade} is deprecated (boolean value) and can be replaced with --cascade={named}.",
        file=sys.stderr,
    )
    return CASCADES[named]


def grace_of(grace_period: int, *, now: bool, force: bool) -> int | None:
    """Read ``--grace-period``, ``--now`` and ``--force``: the seconds, None for the object's own."""
    if now:
        if grace_period != -1:
            raise UsageProblem("--now and --grace-period cannot be specified together")
        grace_period = 1
    if force:
        if grace_period > 0:
            raise UsageProblem("--force and --grace-period greater than 0 cannot be specified together")
        grace_period = 0
    elif grace_period == 0:
        grace_period = 1  # kubectl: only --force skips the kubelet's word that the containers are gone
    return None if grace_period < 0 else grace_period


class _Deletion:
    """Deletes one object after the other, prints each, then waits for all of them."""

    def __init__(self, client: Client, session: Session, request: DeleteRequest) -> None:
        self._client, self._session, self._request = client, session, request
        self._matched = 0
        self._warned = False
        self._deleted: list[_Deleted] = []  # those that may still exist
        self._confirmed_infos: dict[ResourceTuple, list[Info]] = {}

    async def run(self) -> visitor.Errors:
        request = self._request
        if request.force:
            print(FORCE_WARNING, file=sys.stderr)
        if request.interactive and not await self._confirmed():
            return []
        failed: visitor.Errors = []

        async def visit(item: ResourceTuple) -> None:
            async for info in self._infos(item):
                failed.extend(
                    await visitor.continue_on_error([info], self._delete, ignore_not_found=request.ignore_not_found)
                )

        for item in request.selection.items:  # a type that cannot be listed comes after the errors of those before
            failed += await visitor.continue_on_error([item], visit)
        if not self._matched and not failed and not request.selection.named:
            print("No resources found")
        if request.wait and not request.printer.note and not failed:  # after a failure, kubectl does not wait
            await self._wait()
        return failed

    def _infos(self, item: ResourceTuple) -> AsyncGenerator[Info]:
        if (infos := self._confirmed_infos.get(item)) is not None:
            return _given(infos)
        request = self._request
        return visitor.infos(
            self._client,
            item,
            request.namespace,
            label_selector=request.label_selector,
            field_selector=request.field_selector,
        )

    async def _confirmed(self) -> bool:
        """Name the objects, and ask; only those that were named are deleted."""
        request = self._request
        for item in request.selection.items:
            infos = [info async for info in self._infos(item)]
            if item.name is not None:
                infos = [info for info in infos if await self._is_there(info)]
            self._confirmed_infos[item] = infos
        named = [info for infos in self._confirmed_infos.values() for info in infos]
        if not named:
            print("No resources found")
            return False
        print(f"You are about to delete the following {len(named)} resource(s):")
        for info in named:
            print(info.noun)
        print("Do you want to continue? (y/N): ", end="", flush=True)
        answer = (await asyncio.to_thread(self._session.factory.read_line)).split()
        if not answer or answer[0].lower() != "y":
            print("deletion is cancelled")
            return False
        return True

    async def _is_there(self, info: Info) -> bool:
        from kubelab.apimachinery.errors import NotFound

        try:
            await self._client.get(info.resource, info.name, info.namespace)
        except NotFound:
            if self._request.ignore_not_found:
                return False
            raise
        return True

    async def _delete(self, info: Info) -> None:
        """Delete one object and print it; remember it where it may still exist."""
        request = self._request
        self._matched += 1
        if request.warn_scope and not info.resource.namespaced and not self._warned:
            self._warned = True
            print(SCOPE_WARNING, file=sys.stderr)
        uid, waits = "", True
        if request.printer.dry:
            await self._client.get(info.resource, info.name, info.namespace)  # or NotFound
        else:
            answer = await self._client.delete(
                info.resource,
                info.name,
                info.namespace,
                grace_period_seconds=request.grace,
                propagation_policy=request.policy,
                dry_run=request.printer.server,
            )
            uid, waits = _uid(answer), _goes_later(answer)
        if request.printer.output == "name":
            print(info.noun, flush=True)
        else:
            did = "force deleted" if request.force else "deleted"
            print(f'{noun(info.resource)} "{escaped(info.name)}" {did}{request.printer.note}', flush=True)
        if waits:
            self._deleted.append(_Deleted(info, uid))

    async def _wait(self) -> None:
        try:
            async with self._session.clock.timeout(self._request.timeout):
                for deleted in self._deleted:
                    await until_gone(self._client, deleted.info, deleted.uid, self._session.clock)
        except TimeoutError as err:
            raise Failed("error: timed out waiting for the condition") from err


async def _given(infos: Sequence[Info]) -> AsyncGenerator[Info]:
    for info in infos:
        yield info


def _uid(answer: Message) -> str:
    """Give the uid in the server's answer: the object, or a Status about it."""
    obj = cast(Any, answer)
    return obj.details.uid if answer.DESCRIPTOR.name == "Status" else obj.metadata.uid


def _goes_later(answer: Message) -> bool:
    """Whether the object may still exist: the answer for one that was removed at once has no deletionTimestamp."""
    return answer.DESCRIPTOR.name == "Status" or cast(Any, answer).metadata.HasField("deletionTimestamp")


DELETE = Command(
    "delete",
    run=_delete,
    options=DeleteOptions,
    flags=(
        Flag("--all", kind="bool", help="Delete all resources, in the namespace of the specified resource types."),
        ALL_NAMESPACES,
        CASCADE,
        DRY_RUN,
        FIELD_SELECTOR,
        FILENAME,
        Flag(
            "--force",
            kind="bool",
            help="If true, immediately remove resources from API and bypass graceful deletion. Note that immediate "
            "deletion of some resources may result in inconsistency or data loss.",
        ),
        GRACE_PERIOD,
        Flag(
            "--ignore-not-found",
            kind="bool",
            help='Treat "resource not found" as a successful delete. Defaults to "true" when --all is specified.',
        ),
        Flag("--interactive", "-i", kind="bool", help="If true, delete resource only when user confirms."),
        Flag(
            "--now",
            kind="bool",
            help="If true, resources are signaled for immediate shutdown (same as --grace-period=1).",
        ),
        Flag("--output", "-o", help='Output mode. Use "-o name" for shorter output (resource/name).'),
        Flag(
            "--raw",
            help="Raw URI to DELETE to the server.  Uses the transport specified by the kubeconfig file.",
        ),
        RECURSIVE,
        SELECTOR,
        Flag(
            "--timeout",
            kind="duration",
            help="The length of time to wait before giving up on a delete, zero means to wait for as long as it takes",
        ),
        Flag(
            "--wait",
            kind="bool",
            default=True,
            help="If true, wait for resources to be gone before returning. This waits for finalizers.",
        ),
    ),
    about="""\
Delete resources by file names, stdin, resources and names, or by resources and label selector.

 JSON and YAML formats are accepted. Only one type of argument may be specified: file names, resources and names, or \
resources and label selector.

 Some resources, such as pods, support graceful deletion. These resources define a default period before they are \
forcibly terminated (the grace period) but you may override that value with the --grace-period flag, or pass --now to \
set a grace-period of 1. To force delete a resource, you must specify the --force flag.""",
    examples="""\
# Delete a pod using the type and name specified in pod.yml
kctl delete -f ./pod.yml

# Delete pods and services with same names "baz" and "foo"
kctl delete pod,service baz foo

# Delete pods and services with label name=myLabel
kctl delete pods,services -l name=myLabel

# Delete a pod with minimal delay
kctl delete pod foo --now

# Delete all pods
kctl delete pods --all
""",
    usage="kctl delete ([-f FILENAME] | TYPE [(NAME | -l label | --all)])",
)
