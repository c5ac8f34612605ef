"""``kctl cordon`` and ``kctl uncordon``: whether new pods may come to a node."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kubelab.kctl import visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, SELECTOR
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.client.client import Client


@dataclass(frozen=True, slots=True)
class CordonOptions:
    dry_run: str
    selector: str


def check_arguments(args: tuple[str, ...], selector: str, usage: str) -> None:
    """Refuse a command line that names no nodes, or names them twice."""
    if not args and not selector:
        raise UsageProblem(f"USAGE: {usage} [flags]", f"kctl {usage.split()[0]}", hint="arguments")
    if args and selector:
        raise UsageProblem(
            "cannot specify both a node name and a --selector option", f"kctl {usage.split()[0]}", hint="arguments"
        )


async def nodes_of(client: Client, args: tuple[str, ...], selector: str) -> tuple[list[core_pb2.Node], visitor.Errors]:
    """Read the nodes that a command line names, ``node/web`` too; and why others cannot be read."""
    from kubelab.apimachinery.scheme import NODES

    found: list[core_pb2.Node] = []
    if selector:
        async for page in client.pages(NODES, label_selector=selector):
            found += page.items
        return found, []

    async def read(name: str) -> None:
        found.append(await client.get(NODES, name.removeprefix("node/").removeprefix("nodes/")))

    return found, await visitor.continue_on_error(args, read)


class Cordoner:
    """Marks nodes as unschedulable, or takes the mark away."""

    def __init__(self, client: Client, printer: ResultPrinter, *, desired: bool) -> None:
        self._client, self._printer, self._desired = client, printer, desired

    async def run(self, nodes: list[core_pb2.Node]) -> visitor.Errors:
        return await visitor.continue_on_error(nodes, self._one)

    async def _one(self, node: core_pb2.Node) -> None:
        from kubelab.apimachinery.errors import ApiError
        from kubelab.apimachinery.patch.types import PatchType
        from kubelab.apimachinery.scheme import NODES

        word = "cordoned" if self._desired else "uncordoned"
        if node.spec.unschedulable is self._desired:
            print(self._printer.show(node, f"already {word}"), end="", flush=True)
            return
        if not self._printer.dry:
            patch: dict[str, Any] = {"spec": {"unschedulable": True if self._desired else None}}
            data, name = json.dumps(patch).encode(), node.metadata.name
            try:
                await self._client.patch(NODES, name, data, PatchType.STRATEGIC, dry_run=self._printer.server)
            except ApiError as err:
                verb = "cordon" if self._desired else "uncordon"
                raise Failed(f'error: unable to {verb} node "{name}": {err}') from err
        print(self._printer.show(node, word), end="", flush=True)


def _cordon(desired: bool, session: Session, args: tuple[str, ...], options: CordonOptions) -> int:
    check_arguments(args, options.selector, "cordon NODE" if desired else "uncordon NODE")
    printer = ResultPrinter.of("", options.dry_run)

    async def work(client: Client) -> visitor.Errors:
        nodes, missing = await nodes_of(client, args, options.selector)
        if missing:
            return missing
        return await Cordoner(client, printer, desired=desired).run(nodes)

    return visitor.run(session, work)


CORDON = Command(
    "cordon",
    run=partial(_cordon, True),
    options=CordonOptions,
    flags=(DRY_RUN, SELECTOR),
    about="Mark node as unschedulable.",
    examples='# Mark node "node-1" as unschedulable\nkctl cordon node-1',
    usage="kctl cordon NODE",
)
UNCORDON = Command(
    "uncordon",
    run=partial(_cordon, False),
    options=CordonOptions,
    flags=(DRY_RUN, SELECTOR),
    about="Mark node as schedulable.",
    examples='# Mark node "node-1" as schedulable\nkctl uncordon node-1',
    usage="kctl uncordon NODE",
)
