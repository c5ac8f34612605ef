"""``kctl scale``: how many replicas there shall be."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kubelab.kctl import builder, visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, FILENAME, OUTPUT, RECURSIVE, SELECTOR, ResourceOptions
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info, ResourceSelection, ResourceTuple
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.client.client import Client

ATTEMPTS = 10  # when the object changes between reading and writing
MAX_REPLICAS = 2**31 - 1  # the field is an int32


@dataclass(frozen=True, slots=True)
class ScaleOptions(ResourceOptions):
    all: bool
    current_replicas: int
    dry_run: str
    output: str
    replicas: int
    resource_version: str
    timeout: float


def _scale(session: Session, args: tuple[str, ...], options: ScaleOptions) -> int:
    if options.replicas < 0:
        raise UsageProblem("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    if options.replicas > MAX_REPLICAS:
        raise UsageProblem(f"--replicas must be less than or equal to {MAX_REPLICAS}")
    selection = builder.build(session, args, options, selecting=options.all or bool(options.selector))
    scaler = _Scaler(session, options, ResultPrinter.of(options.output, options.dry_run))
    return visitor.run(session, lambda client: scaler.run(client, selection))


class _Scaler:
    def __init__(self, session: Session, options: ScaleOptions, printer: ResultPrinter) -> None:
        self._session, self._options, self._printer = session, options, printer

    async def run(self, client: Client, selection: ResourceSelection) -> visitor.Errors:
        from kubelab.apimachinery.errors import NotFound

        missing: visitor.Errors = []
        infos: list[Info] = []
        for item in selection.items:
            namespace = item.namespace or self._session.namespace
            try:
                if item.name is not None:
                    await client.get(item.resource, item.name, namespace)
                    infos.append(Info(item.resource, item.name, namespace))
                else:
                    infos += await _all(client, item, namespace, self._options.selector)
            except NotFound as err:
                missing.append(err)
        if not infos:
            names = ", ".join(str(err) for err in missing)
            reason = f" [{names}]" if len(missing) > 1 else f" {names}".rstrip()
            raise Failed(f"error: no objects passed to scale{reason}")
        return missing + await visitor.continue_on_error(infos, lambda info: self._one(client, info))

    async def _one(self, client: Client, info: Info) -> None:
        from kubelab.apimachinery.errors import NotFound

        if "scale" not in info.resource.subresources:
            raise NotFound("the server could not find the requested resource")
        await self._write(client, info)
        if self._options.timeout and not self._printer.note:
            await self._until_scaled(client, info)
        if self._printer.output in ("yaml", "json"):
            obj = await client.get(info.resource, info.name, info.namespace)
            print(self._printer.show(obj, "scaled"), end="", flush=True)
        else:
            did = "" if self._printer.output == "name" else " scaled" + self._printer.note
            print(info.noun + did, flush=True)

    async def _write(self, client: Client, info: Info) -> None:
        """Check what the flags demand of the present size, and write the new one."""
        from kubelab.apimachinery.errors import Conflict

        for attempt in range(1, ATTEMPTS + 1):
            scale = await client.get_scale(info.resource, info.name, info.namespace)
            expected = self._options.current_replicas
            if expected >= 0 and scale.spec.replicas != expected:
                raise Failed(f"error: Expected replicas to be {expected}, was {scale.spec.replicas}")
            version, actual = self._options.resource_version, scale.metadata.resourceVersion
            if version and actual != version:
                raise Failed(f"error: Expected resource version to be {version}, was {actual}")
            scale.spec.replicas = self._options.replicas
            if self._printer.dry:
                return
            try:
                await client.update_scale(info.resource, info.name, info.namespace, scale, dry_run=self._printer.server)
                return
            except Conflict:
                if attempt == ATTEMPTS:
                    raise

    async def _until_scaled(self, client: Client, info: Info) -> None:
        """Wait until as many are there as were asked for, or until another number is asked for."""
        from kubelab.kctl.listwatch import object_states

        try:
            async with (
                self._session.clock.timeout(max(0.0, self._options.timeout)),
                contextlib.aclosing(object_states(client, info, self._session.clock)) as states,
            ):
                async for state in states:
                    obj = cast(Any, state)
                    if (
                        obj is None
                        or obj.spec.replicas != self._options.replicas
                        or obj.status.replicas == self._options.replicas
                    ):
                        return
        except TimeoutError as err:
            raise Failed(f'error: timed out waiting for "{info.name}" to be synced') from err


async def _all(client: Client, item: ResourceTuple, namespace: str, selector: str) -> list[Info]:
    if "scale" not in item.resource.subresources:
        raise Failed(f"error: {item.resource} cannot be scaled")
    return [info async for info in visitor.infos(client, item, namespace, label_selector=selector)]


SCALE = Command(
    "scale",
    run=_scale,
    options=ScaleOptions,
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
    about="""\
Set a new size for a deployment, replica set, replication controller, or stateful set.

 Scale also allows users to specify one or more preconditions for the scale action.

 If --current-replicas or --resource-version is specified, it is validated before the scale is attempted, and it is \
guaranteed that the precondition holds true when the scale is sent to the server.""",
    examples="""\
# Scale a replica set named 'foo' to 3
kctl scale --replicas=3 rs/foo

# If the deployment named mysql's current size is 2, scale mysql to 3
kctl scale --current-replicas=2 --replicas=3 deployment/mysql

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
