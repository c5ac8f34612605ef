"""``kctl wait``: until an object is in a condition, exists, or is gone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import click

from kubelab.kctl import targets
from kubelab.kctl.command import Command
from kubelab.kctl.creating import FILENAME, RECURSIVE
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.get import SELECTOR
from kubelab.kctl.listing import explained
from kubelab.kctl.session import Failed, Session
from kubelab.kctl.targets import One, Targets

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.apimachinery.errors import ApiError
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
    wanted = targets.choose(
        session, args, filename, recursive=recursive, selector=selector, selecting=all or bool(selector)
    )
    waiting = _Waiting(session, wanted_goal, FOR_EVER if timeout < 0 else timeout)
    from kubelab.kctl import failures

    return failures.report(session.run(lambda client: waiting.run(client, wanted, selector), endless=True), session)


class _Waiting:
    """Waits for one object after the other; they share the time, and what one lacks does not hide the others."""

    def __init__(self, session: Session, wanted: Goal, timeout: float) -> None:
        self._session, self._goal, self._timeout = session, wanted, timeout
        self._end = session.clock.monotonic() + timeout

    async def run(self, client: Client, wanted: Targets, selector: str) -> list[ApiError | Failed]:
        from kubelab.apimachinery.errors import ApiError

        found: list[One] = []
        listed: set[One] = set()
        for target in wanted.items:
            namespace = target.namespace or self._session.namespace
            if target.name is not None:
                found.append(One(target.resource, target.name, namespace))
                continue
            with explained(target.resource, selector):
                there = await client.list(target.resource, namespace, label_selector=selector)
            metas = [cast(Any, item).metadata for item in there.items]
            found += (ones := [One(target.resource, meta.name, meta.namespace) for meta in metas])
            listed.update(ones)
        if not found and self._goal.what != "delete":
            raise Failed("error: no matching resources found")
        failed: list[ApiError | Failed] = []
        for one in found:
            try:
                if await self._one(client, one) or one in listed:  # what never was there is not told to be gone
                    print(f"{one.noun} condition met", flush=True)
            except (ApiError, Failed) as err:
                failed.append(err)
        return failed

    async def _one(self, client: Client, one: One) -> bool:
        """Wait for one object, and say whether it was seen. Raises Failed when the time is over."""
        try:
            if self._timeout:
                async with self._session.clock.timeout(max(0.0, self._end - self._session.clock.monotonic())):
                    return await self._until(client, one)
            obj = await self._look(client, one)
        except TimeoutError as err:
            raise Failed(f"error: timed out waiting for the condition on {one.resource}/{one.name}") from err
        if not self._goal.reached(obj):
            raise Failed(f"error: condition not met for {one.resource}/{one.name}")
        return obj is not None

    async def _look(self, client: Client, one: One) -> Message | None:
        """Read the object; that it is missing is an answer, where it is not its condition that is waited for."""
        from kubelab.apimachinery.errors import NotFound

        try:
            return await client.get(one.resource, one.name, one.namespace)
        except NotFound:
            if self._goal.what == "condition":
                raise
            return None

    async def _until(self, client: Client, one: One) -> bool:
        from kubelab.kctl import following

        obj = await self._look(client, one)  # a server that is not there is told at once, one that is lost later is not
        if self._goal.reached(obj):
            return obj is not None
        async with contextlib.aclosing(following.states(client, one, self._session.clock)) as states:
            async for state in states:
                if self._goal.reached(state):
                    break
        return True


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
