"""``kctl scale``: how many replicas there shall be."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from kubelab.kctl import targets
from kubelab.kctl.command import Command
from kubelab.kctl.creating import DRY_RUN, FILENAME, OUTPUT, RECURSIVE, Printer
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.get import SELECTOR
from kubelab.kctl.session import Failed, Session
from kubelab.kctl.targets import NOTHING_TOLD, Target, Targets, noun

if TYPE_CHECKING:
    from kubelab.apimachinery.errors import ApiError
    from kubelab.client.client import Client

ATTEMPTS = 10  # when the object changes between reading and writing


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
    dry_run: str,
    output: str,
    **_: object,
) -> int:
    session: Session = ctx.obj
    if replicas < 0:
        raise UsageProblem("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    if filename:
        from kubelab.kctl import files

        wanted = files.targets(session, filename, recursive=recursive)
    elif args:
        wanted = targets.parse(args, selecting=all or bool(selector))
    else:
        raise UsageProblem(NOTHING_TOLD)
    if not wanted.named and not (all or selector):
        raise UsageProblem("resource(s) were provided, but no name was specified")
    printer = Printer.of(output, dry_run)
    scaling = _Scaling(session, replicas, current_replicas, resource_version, printer)
    failed = session.run(lambda client: scaling.run(client, wanted, selector))
    if not failed:
        return 0
    from kubelab.kctl import failures

    for err in failed:
        print(failures.describe(err, servers=session.access.servers, alone=len(failed) == 1), file=sys.stderr)
    return 1


class _Scaling:
    def __init__(self, session: Session, replicas: int, current: int, version: str, printer: Printer) -> None:
        self._session, self._printer = session, printer
        self._replicas, self._current, self._version = replicas, current, version

    async def run(self, client: Client, wanted: Targets, selector: str) -> list[ApiError]:
        from kubelab.apimachinery.errors import ApiError, NotFound

        failed: list[ApiError] = []
        found: list[Target] = []
        for target in wanted.items:
            namespace = target.namespace or self._session.namespace
            try:
                if target.name:
                    await client.get(target.resource, target.name, namespace)
                    found.append(Target(target.resource, target.name, namespace))
                else:
                    found += await _all(client, target, namespace, selector)
            except NotFound as err:
                raise Failed(f"error: no objects passed to scale {err.message}") from err
        if not found:
            raise Failed("error: no objects passed to scale")
        for target in found:
            try:
                await self._one(client, target)
            except ApiError as err:
                failed.append(err)
        return failed

    async def _one(self, client: Client, target: Target) -> None:
        from kubelab.apimachinery.errors import Conflict, NotFound

        if "scale" not in target.resource.subresources:
            raise NotFound("the server could not find the requested resource")
        for attempt in range(1, ATTEMPTS + 1):
            scale = await client.get_scale(target.resource, target.name, target.namespace)
            if self._current >= 0 and scale.spec.replicas != self._current:
                raise Failed(f"error: Expected replicas to be {self._current}, was {scale.spec.replicas}")
            if self._version and scale.metadata.resourceVersion != self._version:
                was = scale.metadata.resourceVersion
                raise Failed(f"error: Expected resource version to be {self._version}, was {was}")
            scale.spec.replicas = self._replicas
            if self._printer.dry:
                break
            try:
                await client.update_scale(target.resource, target.name, target.namespace, scale)
                break
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
        if self._printer.output in ("yaml", "json"):
            obj = await client.get(target.resource, target.name, target.namespace)
            print(self._printer.show(obj, "scaled"), end="", flush=True)
        else:
            name = f"{noun(target.resource)}/{target.name}"
            did = "" if self._printer.output == "name" else " scaled" + (" (dry run)" if self._printer.dry else "")
            print(name + did, flush=True)


async def _all(client: Client, target: Target, namespace: str, selector: str) -> list[Target]:
    from kubelab.apimachinery.scheme import REPLICATION_CONTROLLERS

    if target.resource is not REPLICATION_CONTROLLERS:
        raise Failed(f"error: {target.resource} cannot be scaled")
    there = await client.list(REPLICATION_CONTROLLERS, namespace, label_selector=selector)
    return [Target(target.resource, rc.metadata.name, rc.metadata.namespace) for rc in there.items]


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
