"""``kctl delete``: by names, files or selectors; it waits until what it deleted is gone."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import click

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import builder
from kubelab.kctl.command import Command, line_of
from kubelab.kctl.commonflags import ALL_NAMESPACES, DRY_RUN, FIELD_SELECTOR, FILENAME, RECURSIVE, SELECTOR
from kubelab.kctl.flags import Flag, UsageProblem, parse_bool
from kubelab.kctl.listing import explained
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info, ResourceTuple, Selection, noun
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.apimachinery.errors import ApiError
    from kubelab.client.client import Client

CASCADES = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}
FOR_EVER = 168 * 3600.0  # seconds: kubectl's "no timeout" is a week
FORCE_WARNING = (
    "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The "
    "resource may continue to run on the cluster indefinitely."
)
SCOPE_WARNING = "Warning: deleting cluster-scoped resources, not scoped to the provided namespace"


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """What to delete, and how."""

    selection: Selection
    namespace: str
    label_selector: str
    field_selector: str
    grace: int | None
    policy: str
    wait: bool
    timeout: float
    force: bool
    ignore_not_found: bool
    printer: ResultPrinter
    warn_scope: bool


@dataclass(frozen=True, slots=True)
class _Gone:
    info: Info
    uid: str


@click.pass_context
def _delete(
    ctx: click.Context,
    args: tuple[str, ...],
    filename: tuple[str, ...],
    recursive: bool,
    selector: str,
    field_selector: str,
    all: bool,
    all_namespaces: bool,
    grace_period: int,
    now: bool,
    force: bool,
    wait: bool,
    timeout: float,
    cascade: str,
    ignore_not_found: bool,
    dry_run: str,
    output: str,
    **_: object,
) -> int:
    session: Session = ctx.obj
    grace = _grace(grace_period, now=now, force=force)
    policy = _policy(cascade)
    if output not in ("", "name"):
        raise UsageProblem(f"unexpected -o output mode: {output}. We only support '-o name'")
    if all and (selector or field_selector):
        raise UsageProblem("setting 'all' parameter but found a non empty selector. ")  # kubectl's words, space and all
    selection = builder.build(
        session,
        args,
        filename,
        recursive=recursive,
        selector=selector,
        selecting=bool(selector or field_selector or all),
        all_namespaces=all_namespaces,
        doing="error when deleting",
    )
    given = line_of(ctx).given
    request = DeleteRequest(
        selection=selection,
        namespace="" if all_namespaces else session.namespace,
        label_selector=selector,
        field_selector=field_selector,
        grace=grace,
        policy=policy,
        wait=wait,
        timeout=timeout or FOR_EVER,
        force=force,
        ignore_not_found=ignore_not_found if given("ignore-not-found") else ignore_not_found or all,
        printer=ResultPrinter.of(output, dry_run),
        warn_scope=bool(session.namespace_flag) or all_namespaces,
    )
    from kubelab.kctl import failures

    return failures.report(session.run(lambda client: _Deletion(client, session, request).run(), endless=True), session)


def _policy(cascade: str) -> str:
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


def _grace(grace_period: int, *, now: bool, force: bool) -> int | None:
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
    """Deletes one object after the other, says so, then waits for all of them."""

    def __init__(self, client: Client, session: Session, request: DeleteRequest) -> None:
        self._client, self._session, self._request = client, session, request
        self._found = 0
        self._warned = False

    async def run(self) -> list[ApiError]:
        from kubelab.apimachinery.errors import ApiError, NotFound

        request = self._request
        failed: list[ApiError] = []
        gone: list[_Gone] = []
        if request.force:
            print(FORCE_WARNING, file=sys.stderr)
        for item in request.selection.items:
            try:
                async for info in self._each(item):
                    try:
                        deleted = await self._delete(info)
                        if deleted is not None:
                            gone.append(deleted)
                    except ApiError as err:
                        if not (isinstance(err, NotFound) and request.ignore_not_found):
                            failed.append(err)
            except ApiError as err:  # of listing a whole type
                failed.append(err)
        if not self._found and not failed and not request.selection.named:
            print("No resources found")
        if request.wait and not request.printer.dry and not failed:  # with a failure, kubectl says so at once
            await self._wait(gone)
        return failed

    async def _each(self, item: ResourceTuple) -> AsyncIterator[Info]:
        request = self._request
        if item.name is not None:
            yield Info(item.resource, item.name, item.namespace or request.namespace)
            return
        pages = self._client.pages(
            item.resource,
            request.namespace,
            label_selector=request.label_selector,
            field_selector=request.field_selector,
        )
        with explained(item.resource, request.label_selector, request.field_selector):
            async for page in pages:
                for obj in page.items:
                    meta = cast(Any, obj).metadata
                    yield Info(item.resource, meta.name, meta.namespace)

    async def _delete(self, info: Info) -> _Gone | None:
        """Delete one object and say so. None when it is gone already: nothing is left to wait for."""
        request = self._request
        self._found += 1
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
            )
            uid, waits = _uid(answer), _goes_later(answer)
        if request.printer.output == "name":
            print(info.noun, flush=True)
        else:
            did = "force deleted" if request.force else "deleted"
            dry = " (dry run)" if request.printer.dry else ""
            print(f'{noun(info.resource)} "{escaped(info.name)}" {did}{dry}', flush=True)
        return _Gone(info, uid) if waits else None

    async def _wait(self, gone: Sequence[_Gone]) -> None:
        try:
            async with self._session.clock.timeout(self._request.timeout):
                for each in gone:
                    await self._until_gone(each)
        except TimeoutError as err:
            raise Failed("error: timed out waiting for the condition") from err

    async def _until_gone(self, gone: _Gone) -> None:
        """Wait until the object with this uid is no more; another one of its name does not count."""
        from kubelab.kctl.listwatch import object_states

        async with contextlib.aclosing(object_states(self._client, gone.info, self._session.clock)) as states:
            async for obj in states:
                if obj is None or not _is(obj, gone.uid):
                    return


def _uid(answer: Message) -> str:
    """Find the uid in what the server answered: the object, or a Status about it."""
    obj = cast(Any, answer)
    return obj.details.uid if answer.DESCRIPTOR.name == "Status" else obj.metadata.uid


def _goes_later(answer: Message) -> bool:
    """Whether an object may still be there: one that was removed at once is answered as it was, without a date of
    deletion."""
    return answer.DESCRIPTOR.name == "Status" or cast(Any, answer).metadata.HasField("deletionTimestamp")


def _is(obj: Message, uid: str) -> bool:
    return not uid or cast(Any, obj).metadata.uid == uid


DELETE = Command(
    "delete",
    callback=_delete,
    flags=(
        Flag("--all", kind="bool", help="Delete all resources, in the namespace of the specified resource types."),
        ALL_NAMESPACES,
        Flag(
            "--cascade",
            default="background",
            bare="background",
            help='Must be "background", "orphan", or "foreground". Selects the deletion cascading strategy for the '
            "dependents (e.g. Pods created by a ReplicationController). Defaults to background.",
        ),
        DRY_RUN,
        FIELD_SELECTOR,
        FILENAME,
        Flag(
            "--force",
            kind="bool",
            help="If true, immediately remove resources from API and bypass graceful deletion. Note that immediate "
            "deletion of some resources may result in inconsistency or data loss.",
        ),
        Flag(
            "--grace-period",
            kind="int",
            default=-1,
            help="Period of time in seconds given to the resource to terminate gracefully. Ignored if negative. Set "
            "to 1 for immediate shutdown. Can only be set to 0 when --force is true (force deletion).",
        ),
        Flag(
            "--ignore-not-found",
            kind="bool",
            help='Treat "resource not found" as a successful delete. Defaults to "true" when --all is specified.',
        ),
        Flag(
            "--now",
            kind="bool",
            help="If true, resources are signaled for immediate shutdown (same as --grace-period=1).",
        ),
        Flag("--output", "-o", help='Output mode. Use "-o name" for shorter output (resource/name).'),
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
