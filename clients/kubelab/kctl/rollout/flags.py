"""The flags of ``kctl rollout …``, with kubectl's help, and what they select."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from kubelab.kctl import builder, visitor
from kubelab.kctl.commonflags import RECURSIVE, ResourceOptions
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.resource import Info, ResourceSelection
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from kubelab.client.client import Client

FILENAME = Flag(
    "--filename",
    "-f",
    kind="csv",
    help="Filename, directory, or URL to files identifying the resource to get from a server.",
)
SELECTOR = Flag(
    "--selector",
    "-l",
    kind="selector",
    help="Selector (label query) to filter on, supports '=', '==', and '!='.(e.g. -l key1=value1,key2=value2). "
    "Matching objects must satisfy all of the specified label constraints.",
)
SELECTING = (FILENAME, RECURSIVE, SELECTOR)
NO_RESOURCE = "required resource not specified"


def selected(session: Session, args: Sequence[str], options: ResourceOptions) -> ResourceSelection:
    """Find what the command line names; a type alone stands for all of its objects. Raises UsageProblem."""
    if not args and not options.filename:
        raise UsageProblem(NO_RESOURCE)
    return builder.build(session, args, options, selecting=bool(options.selector), whole_types=True)


async def infos(client: Client, session: Session, selection: ResourceSelection, selector: str) -> AsyncGenerator[Info]:
    """Yield each object that is selected."""
    for item in selection.items:
        async for info in visitor.infos(client, item, session.namespace, label_selector=selector):
            yield info


def positive(revision: int) -> None:
    """Refuse a revision below zero."""
    if revision < 0:
        raise UsageProblem(f"revision must be a positive integer: {revision}")


def kind_of(info: Info) -> str:
    """``ReplicaSet.apps``: a kind as messages name it."""
    return f"{info.resource.kind}.{info.resource.group}" if info.resource.group else info.resource.kind
