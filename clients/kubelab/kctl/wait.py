"""``kctl wait``: until an object is in a condition, exists, or is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import click

from kubelab.kctl import targets
from kubelab.kctl.command import Command
from kubelab.kctl.creating import FILENAME, RECURSIVE
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.get import SELECTOR
from kubelab.kctl.session import Failed, Session
from kubelab.kctl.targets import NOTHING_TOLD, Target, noun

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.client.client import Client

FOR_EVER = 168 * 3600.0  # seconds: kubectl's "a week" for a negative timeout


@dataclass(frozen=True, slots=True)
class Goal:
    """What is waited for: a condition with its status, ``create`` or ``delete``."""

    what: str
    condition: str = ""
    status: str = ""

    def reached(self, obj: Message | None) -> bool:
        if self.what == "delete":
            return obj is None
        if obj is None:
            return False
        if self.what == "create":
            return True
        conditions = getattr(getattr(obj, "status", None), "conditions", ())
        return any(
            one.type.lower() == self.condition.lower() and one.status.lower() == self.status.lower()
            for one in cast(Any, conditions)
        )


def goal(text: str) -> Goal:
    """Read ``condition=Ready``, ``condition=Ready=false``, ``create``, ``delete``."""
    if text.lower() in ("create", "delete"):
        return Goal(text.lower())
    kind, _, rest = text.partition("=")
    name, _, value = rest.partition("=")
    if kind != "condition" or not name:
        raise UsageProblem(f'unrecognized condition: "{text}"')
    return Goal("condition", name, value or "true")


@click.pass_context
def _wait(
    ctx: click.Context,
    args: tuple[str, ...],
    filename: tuple[str, ...],
    recursive: bool,
    selector: str,
    all: bool,
    timeout: float,
    **flags: object,
) -> int:
    session: Session = ctx.obj
    wanted_goal = goal(str(flags["for"]))
    if filename:
        from kubelab.kctl import files

        wanted = files.targets(session, filename, recursive=recursive)
    elif args:
        wanted = targets.parse(args, selecting=all or bool(selector))
    else:
        raise UsageProblem(NOTHING_TOLD)
    if not wanted.named and not (all or selector):
        raise UsageProblem("resource(s) were provided, but no name was specified")
    waiting = _Waiting(session, wanted_goal, FOR_EVER if timeout < 0 else timeout)
    session.run(lambda client: waiting.run(client, wanted.items, selector), endless=True)
    return 0


class _Waiting:
    def __init__(self, session: Session, wanted: Goal, timeout: float) -> None:
        self._session, self._goal, self._timeout = session, wanted, timeout

    async def run(self, client: Client, wanted: tuple[Target, ...], selector: str) -> None:
        found: list[Target] = []
        for target in wanted:
            namespace = target.namespace or self._session.namespace
            if target.name:
                found.append(Target(target.resource, target.name, namespace))
                continue
            there = await client.list(target.resource, namespace, label_selector=selector)
            metas = [cast(Any, item).metadata for item in there.items]
            found += [Target(target.resource, meta.name, meta.namespace) for meta in metas]
        if not found:
            raise Failed("error: no matching resources found")
        for target in found:
            try:
                async with self._session.clock.timeout(self._timeout):
                    await self._until(client, target)
            except TimeoutError as err:
                told = f"error: timed out waiting for the condition on {target.resource}/{target.name}"
                raise Failed(told) from err
            done = "deleted" if self._goal.what == "delete" else "condition met"
            print(f"{noun(target.resource)}/{target.name} {done}", flush=True)

    async def _until(self, client: Client, target: Target) -> None:
        """Look, then watch from where the look ended."""
        from kubelab.apimachinery.errors import Expired
        from kubelab.client.client import EventType

        chosen = f"metadata.name={target.name}"
        while True:
            there = await client.list(target.resource, target.namespace, field_selector=chosen)
            obj = next(iter(there.items), None)
            if obj is None and self._goal.what == "condition":
                await client.get(target.resource, target.name, target.namespace)  # raises NotFound, in its words
            if self._goal.reached(obj):
                return
            events = client.watch(
                target.resource, target.namespace, resource_version=there.resource_version, field_selector=chosen
            )
            try:
                async for event in events:
                    if event.type is not EventType.BOOKMARK and self._goal.reached(
                        None if event.type is EventType.DELETED else event.object
                    ):
                        return
            except Expired:  # the server forgot the revision meanwhile: look again
                continue
            finally:
                await events.aclose()


WAIT = Command(
    "wait",
    callback=_wait,
    flags=(
        Flag("--all", kind="bool", help="Select all resources in the namespace of the specified resource types"),
        FILENAME,
        Flag(
            "--for",
            default="",
            required=True,
            help="The condition to wait on: [create|delete|condition=condition-name[=condition-value]]. The default "
            "condition-value is true. Condition values are compared ignoring case.",
        ),
        RECURSIVE,
        SELECTOR,
        Flag(
            "--timeout",
            kind="duration",
            default=30.0,
            help="The length of time to wait before giving up. Zero means check once and don't wait, negative means "
            "wait for a week.",
        ),
    ),
    about="Wait for a specific condition on one or many resources.",
    examples="""\
# Wait for the pod "busybox1" to contain the status condition of type "Ready"
kctl wait --for=condition=Ready pod/busybox1

# The default value of status condition is true; you can wait for other targets after an equal delimiter
kctl wait --for=condition=Ready=false pod/busybox1

# Wait for the pod "busybox1" to be deleted, with a timeout of 60s
kctl wait --for=delete pod/busybox1 --timeout=60s
""",
    usage="kctl wait ([-f FILENAME] | resource.group/resource.name | resource.group [(-l label | --all)]) "
    "[--for=create|--for=delete|--for condition=available]",
)
