"""``kctl rollout status``: follows a rollout until it is over."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl import visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import ResourceOptions
from kubelab.kctl.flags import Flag
from kubelab.kctl.resource import Info, ResourceSelection
from kubelab.kctl.rollout.flags import SELECTING, infos, kind_of, positive, selected
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.client.client import Client
    from kubelab.kctl.rollout.interface import Rollout


@dataclass(frozen=True, slots=True)
class StatusOptions(ResourceOptions):
    revision: int
    timeout: float
    watch: bool


def _status(session: Session, args: tuple[str, ...], options: StatusOptions) -> int:
    selection = selected(session, args, options)
    positive(options.revision)
    return visitor.run(session, lambda client: _follow_all(client, session, selection, options), endless=True)


async def _follow_all(
    client: Client, session: Session, selection: ResourceSelection, options: StatusOptions
) -> visitor.Errors:
    found = [info async for info in infos(client, session, selection, options.selector)]
    if not found:
        print(f"No resources found in {session.namespace} namespace.", file=sys.stderr)
    return await visitor.continue_on_error(found, lambda info: _follow(client, session, info, options))


async def _follow(client: Client, session: Session, info: Info, options: StatusOptions) -> None:
    from kubelab.kctl.listwatch import object_states
    from kubelab.kctl.rollout.kinds import KINDS

    first = await client.get(info.resource, info.name, info.namespace)  # fails at once where it is not there
    rollout = KINDS.get(info.resource)
    if rollout is None:
        raise Failed(f"error: no status viewer has been implemented for {kind_of(info)}")
    if not options.watch:
        _tell(rollout, first, options.revision)
        return
    try:
        async with (
            session.clock.timeout(options.timeout or None),
            contextlib.aclosing(object_states(client, info, session.clock)) as states,
        ):
            async for state in states:
                if state is None:
                    raise Failed("error: object has been deleted")
                if _tell(rollout, state, options.revision):
                    return
    except TimeoutError as err:
        raise Failed("error: timed out waiting for the condition") from err


def _tell(rollout: Rollout, obj: Message, revision: int) -> bool:
    text, done = rollout.status(obj, revision)
    print(text, flush=True)
    return done


STATUS = Command(
    "status",
    run=_status,
    options=StatusOptions,
    flags=(
        *SELECTING,
        Flag(
            "--revision",
            kind="int",
            default=0,
            help="Pin to a specific revision for showing its status. Defaults to 0 (last revision).",
        ),
        Flag(
            "--timeout",
            kind="duration",
            default=0.0,
            help="The length of time to wait before ending watch, zero means never. Any other values should contain a "
            "corresponding time unit (e.g. 1s, 2m, 3h).",
        ),
        Flag("--watch", "-w", kind="bool", default=True, help="Watch the status of the rollout until it's done."),
    ),
    about="""\
Show the status of the rollout.

 By default 'rollout status' will watch the status of the latest rollout until it's done. If you don't want to wait \
for the rollout to finish then you can use --watch=false. Note that if a new rollout starts in-between, then 'rollout \
status' will continue watching the latest revision. If you want to pin to a specific revision and abort if it is \
rolled over by another revision, use --revision=N where N is the revision you need to watch for.""",
    examples="# Watch the rollout status of a deployment\nkctl rollout status deployment/nginx",
    usage="kctl rollout status (TYPE NAME | TYPE/NAME) [flags]",
)
