"""``kctl scale``: how many replicas there shall be."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

import click

from kubelab.kctl import builder
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, FILENAME, OUTPUT, RECURSIVE, SELECTOR
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info, ResourceTuple, Selection
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.apimachinery.errors import ApiError
    from kubelab.client.client import Client

ATTEMPTS = 10  # when the object changes between reading and writing
MAX_REPLICAS = 2**31 - 1  # the field is an int32


@click.pass_context
def _scale(
    ctx: click.Context,
    args: tuple[str, ...],
    replicas: int,
    current_replicas: int,
    resource_version: str,
    all: bool,
    selector: str,
    filename: tuple[str, ...],
    recursive: bool,
    timeout: float,
    dry_run: str,
    output: str,
    **_: object,
) -> int:
    session: Session = ctx.obj
    if replicas < 0:
        raise UsageProblem("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    if replicas > MAX_REPLICAS:
        raise UsageProblem(f"--replicas must be less than or equal to {MAX_REPLICAS}")
    selection = builder.build(
        session, args, filename, recursive=recursive, selector=selector, selecting=all or bool(selector)
    )
    printer = ResultPrinter.of(output, dry_run)
    scaling = _Scaling(session, replicas, current_replicas, resource_version, timeout, printer)
    from kubelab.kctl import failures

    return failures.report(session.run(lambda client: scaling.run(client, selection, selector)), session)


class _Scaling:
    def __init__(
        self, session: Session, replicas: int, current: int, version: str, timeout: float, printer: ResultPrinter
    ) -> None:
        self._session, self._printer = session, printer
        self._replicas, self._current, self._version = replicas, current, version
        self._timeout = timeout

    async def run(self, client: Client, selection: Selection, selector: str) -> list[ApiError | Failed]:
        from kubelab.apimachinery.errors import ApiError, NotFound

        failed: list[ApiError | Failed] = []
        infos: list[Info] = []
        for item in selection.items:
            namespace = item.namespace or self._session.namespace
            try:
                if item.name is not None:
                    await client.get(item.resource, item.name, namespace)
                    infos.append(Info(item.resource, item.name, namespace))
                else:
                    infos += await _all(client, item, namespace, selector)
            except NotFound as err:
                failed.append(err)
        if not infos:
            missing = ", ".join(str(err) for err in failed)
            reason = f" [{missing}]" if len(failed) > 1 else f" {missing}".rstrip()
            raise Failed(f"error: no objects passed to scale{reason}")
        for info in infos:
            try:
                await self._one(client, info)
            except (ApiError, Failed) as err:
                failed.append(err)
        return failed

    async def _one(self, client: Client, info: Info) -> None:
        from kubelab.apimachinery.errors import NotFound

        if "scale" not in info.resource.subresources:
            raise NotFound("the server could not find the requested resource")
        await self._write(client, info)
        if self._timeout and not self._printer.dry:
            await self._until_scaled(client, info)
        if self._printer.output in ("yaml", "json"):
            obj = await client.get(info.resource, info.name, info.namespace)
            print(self._printer.show(obj, "scaled"), end="", flush=True)
        else:
            did = "" if self._printer.output == "name" else " scaled" + (" (dry run)" if self._printer.dry else "")
            print(info.noun + did, flush=True)

    async def _write(self, client: Client, info: Info) -> None:
        """Check what the flags demand of the present size, and write the new one."""
        from kubelab.apimachinery.errors import Conflict

        for attempt in range(1, ATTEMPTS + 1):
            scale = await client.get_scale(info.resource, info.name, info.namespace)
            if self._current >= 0 and scale.spec.replicas != self._current:
                raise Failed(f"error: Expected replicas to be {self._current}, was {scale.spec.replicas}")
            if self._version and scale.metadata.resourceVersion != self._version:
                was = scale.metadata.resourceVersion
                raise Failed(f"error: Expected resource version to be {self._version}, was {was}")
            scale.spec.replicas = self._replicas
            if self._printer.dry:
                return
            try:
                await client.update_scale(info.resource, info.name, info.namespace, scale)
                return
            except Conflict:
                if attempt == ATTEMPTS:
                    raise

    async def _until_scaled(self, client: Client, info: Info) -> None:
        """Wait until as many are there as were asked for, or until another number is asked for."""
        from kubelab.kctl.listwatch import object_states

        try:
            async with (
                self._session.clock.timeout(max(0.0, self._timeout)),
                contextlib.aclosing(object_states(client, info, self._session.clock)) as states,
            ):
                async for state in states:
                    obj = cast(Any, state)
                    if obj is None or obj.spec.replicas != self._replicas or obj.status.replicas == self._replicas:
                        return
        except TimeoutError as err:
            raise Failed(f'error: timed out waiting for "{info.name}" to be synced') from err


async def _all(client: Client, item: ResourceTuple, namespace: str, selector: str) -> list[Info]:
    from kubelab.apimachinery.scheme import REPLICATION_CONTROLLERS

    if item.resource is not REPLICATION_CONTROLLERS:
        raise Failed(f"error: {item.resource} cannot be scaled")
    there = await client.list(REPLICATION_CONTROLLERS, namespace, label_selector=selector)
    return [Info(item.resource, rc.metadata.name, rc.metadata.namespace) for rc in there.items]


SCALE = Command(
    "scale",
    callback=_scale,
    flags=(
        Flag("--all", kind="bool", help="Select all resources in the namespace of the specified resource types"),
        Flag(
            "--current-replicas",
            kind="int",
            default=-1,
            help="Precondition for current size. Requires that the current size of the resource match this value in "
            "order to scale. -1 (default) for no condition.",
        ),
        DRY_RUN,
        FILENAME,
        OUTPUT,
        RECURSIVE,
        Flag("--replicas", kind="int", default=0, required=True, help="The new desired number of replicas. Required."),
        Flag(
            "--resource-version",
            help="Precondition for resource version. Requires that the current resource version match this value in "
            "order to scale.",
        ),
        SELECTOR,
        Flag(
            "--timeout",
            kind="duration",
            help="The length of time to wait before giving up on a scale operation, zero means don't wait. Any other "
            "values should contain a corresponding time unit (e.g. 1s, 2m, 3h).",
        ),
    ),
    about="Set a new size for a replication controller.",
    examples="""\
# Scale a replication controller named 'foo' to 3
kctl scale --replicas=3 rc/foo

# If the current size of the replication controller named foo is 2, scale foo to 3
kctl scale --current-replicas=2 --replicas=3 rc/foo

# Scale multiple replication controllers
kctl scale --replicas=5 rc/example1 rc/example2 rc/example3
""",
    usage="kctl scale [--resource-version=version] [--current-replicas=count] --replicas=COUNT (-f FILENAME | TYPE "
    "NAME)",
)
