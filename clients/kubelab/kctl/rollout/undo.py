"""``kctl rollout undo``: goes back to an earlier revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl import visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import OUTPUT, ResourceOptions
from kubelab.kctl.flags import Flag
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info, ResourceSelection
from kubelab.kctl.rollout.flags import SELECTING, infos, kind_of, selected
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.client.client import Client
    from kubelab.kctl.rollout.interface import Undo


@dataclass(frozen=True, slots=True)
class UndoOptions(ResourceOptions):
    dry_run: str
    output: str
    to_revision: int


def _undo(session: Session, args: tuple[str, ...], options: UndoOptions) -> int:
    from kubelab.kctl.rollout.interface import Undo

    on_server = options.dry_run == "server"
    printer = ResultPrinter.of(options.output, "none" if on_server else options.dry_run)
    selection = selected(session, args, options)
    how = Undo(dry=printer.dry, server_dry=on_server)
    return visitor.run(session, lambda client: _undo_all(client, session, selection, options, printer, how))


async def _undo_all(
    client: Client,
    session: Session,
    selection: ResourceSelection,
    options: UndoOptions,
    printer: ResultPrinter,
    how: Undo,
) -> visitor.Errors:
    from kubelab.kctl.rollout.kinds import KINDS

    async def undo(info: Info) -> None:
        obj = await client.get(info.resource, info.name, info.namespace)
        rollout = KINDS.get(info.resource)
        if rollout is None:
            raise Failed(f'error: no rollbacker has been implemented for "{kind_of(info)}"')
        done = await rollout.undo(client, obj, options.to_revision, how)
        print(printer.show(obj, f"{done} (server dry run)" if how.server_dry else done), end="", flush=True)

    found = [info async for info in infos(client, session, selection, options.selector)]
    return await visitor.continue_on_error(found, undo)


UNDO = Command(
    "undo",
    run=_undo,
    options=UndoOptions,
    flags=(
        Flag(
            "--dry-run",
            default="none",
            bare="unchanged",
            help='Must be "none", "server", or "client". If client strategy, only print the object that would be sent, '
            "without sending it. If server strategy, submit server-side request without persisting the resource.",
        ),
        *SELECTING,
        OUTPUT,
        Flag(
            "--to-revision",
            kind="int",
            default=0,
            help="The revision to rollback to. Default to 0 (last revision).",
        ),
    ),
    about="Roll back to a previous rollout.",
    examples="""\
# Roll back to the previous deployment
kctl rollout undo deployment/abc

# Roll back to daemonset revision 3
kctl rollout undo daemonset/abc --to-revision=3

# Roll back to the previous deployment with dry-run
kctl rollout undo --dry-run=server deployment/abc
""",
    usage="kctl rollout undo (TYPE NAME | TYPE/NAME) [flags]",
)
