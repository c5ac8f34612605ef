"""``kctl rollout history``: the revisions of a workload."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import OUTPUT, ResourceOptions
from kubelab.kctl.flags import Flag
from kubelab.kctl.resource import Info, ResourceSelection
from kubelab.kctl.rollout.flags import SELECTING, infos, kind_of, positive, selected
from kubelab.kctl.rollout.templates import template_text
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubelab.client.client import Client
    from kubelab.kctl.documentprinters import DocumentPrinter
    from kubelab.kctl.rollout.interface import Revision


@dataclass(frozen=True, slots=True)
class HistoryOptions(ResourceOptions):
    output: str
    revision: int


def _history(session: Session, args: tuple[str, ...], options: HistoryOptions) -> int:
    from kubelab.kctl.documentprinters import PrintFlags, printer_of

    selection = selected(session, args, options)
    positive(options.revision)
    printer = printer_of(PrintFlags(options.output)) if options.output else None
    return visitor.run(session, lambda client: _show_all(client, session, selection, options, printer))


async def _show_all(
    client: Client,
    session: Session,
    selection: ResourceSelection,
    options: HistoryOptions,
    printer: DocumentPrinter | None,
) -> visitor.Errors:
    async def show(info: Info) -> None:
        revisions = await _revisions(client, info)
        if printer is None:
            print(f"{info.noun} {_text(revisions, options.revision)}", flush=True)
            return
        chosen = [one for one in revisions if options.revision in (0, one.number)]
        if options.revision and not chosen:
            raise Failed("error: unable to find the specified revision")
        from kubelab.apimachinery.manifest import encode
        from kubelab.kctl import structorder

        for one in chosen:
            sys.stdout.write(
                printer.render(
                    structorder.document_of(one.obj) if options.output == "json" else encode.to_dict(one.obj)
                )
            )

    found = [info async for info in infos(client, session, selection, options.selector)]
    return await visitor.continue_on_error(found, show)


async def _revisions(client: Client, info: Info) -> Sequence[Revision]:
    from kubelab.kctl.rollout.kinds import KINDS

    obj = await client.get(info.resource, info.name, info.namespace)
    rollout = KINDS.get(info.resource)
    if rollout is None:
        raise Failed(f'error: no history viewer has been implemented for "{kind_of(info)}"')
    return await rollout.history(client, obj)


def _text(revisions: Sequence[Revision], wanted: int) -> str:
    """Give what stands behind the object's name: a table, or one revision's template."""
    if not revisions:
        return f"{f'with revision #{wanted}' if wanted else ''}\nNo rollout history found."
    if wanted:
        one = next((r for r in revisions if r.number == wanted), None)
        if one is None:
            raise Failed("error: unable to find the specified revision")
        return f"with revision #{wanted}\n{template_text(one.template)}"
    from kubelab.kctl.describe.writer import align

    rows = [f"{r.number}\t{escaped(r.cause) or '<none>'}" for r in revisions]
    return "\n" + align("\n".join(["REVISION\tCHANGE-CAUSE", *rows]) + "\n")


HISTORY = Command(
    "history",
    run=_history,
    options=HistoryOptions,
    flags=(
        *SELECTING,
        OUTPUT,
        Flag(
            "--revision",
            kind="int",
            default=0,
            help="See the details, including podTemplate of the revision specified",
        ),
    ),
    about="View previous rollout revisions and configurations.",
    examples="""\
# View the rollout history of a deployment
kctl rollout history deployment/abc

# View the details of daemonset revision 3
kctl rollout history daemonset/abc --revision=3
""",
    usage="kctl rollout history (TYPE NAME | TYPE/NAME) [flags]",
)
