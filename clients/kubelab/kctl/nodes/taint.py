"""``kctl taint``: adds taints to nodes, changes and removes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kubelab.apimachinery import names
from kubelab.kctl import builder, visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, OUTPUT, SELECTOR, VALIDATE, ResourceOptions, check_validate, field_manager
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.resource import Info
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.client.client import Client

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
ATTEMPTS = 5  # when the node changes between reading and writing


class Taint(NamedTuple):
    """``key=value:effect``. One to remove may leave the effect out, and has no value."""

    key: str
    value: str
    effect: str

    def covers(self, other: core_pb2.Taint) -> bool:
        """Say whether this one, to remove, is the other."""
        return self.key == other.key and self.effect in ("", other.effect)


@dataclass(frozen=True, slots=True)
class Taints:
    add: tuple[Taint, ...]
    remove: tuple[Taint, ...]


@dataclass(frozen=True, slots=True)
class TaintOptions:
    all: bool
    dry_run: str
    field_manager: str
    output: str
    overwrite: bool
    selector: str
    validate: str


def parse(specs: Sequence[str]) -> Taints:
    """Read ``key=value:effect`` and ``key:effect-``. Raises UsageProblem in kubectl's words."""
    add: list[Taint] = []
    remove: list[Taint] = []
    for spec in specs:
        if spec.endswith("-"):
            taint = _taint(spec.removesuffix("-"))
            remove.append(Taint(taint.key, "", taint.effect))
            continue
        taint = _taint(spec)
        if not taint.effect:
            raise UsageProblem(f"invalid taint spec: {spec}", "kctl taint", hint="arguments")
        if any((taint.key, taint.effect) == (other.key, other.effect) for other in add):
            shown = f"{{{taint.key} {taint.value} {taint.effect} <nil>}}"
            raise UsageProblem(
                f"duplicated taints with the same key and effect: {shown}", "kctl taint", hint="arguments"
            )
        add.append(taint)
    return Taints(tuple(add), tuple(remove))


def _taint(spec: str) -> Taint:
    parts = spec.split(":")
    if len(parts) > 2:
        raise UsageProblem(f"invalid taint spec: {spec}", "kctl taint", hint="arguments")
    key, value, effect = parts[0], "", ""
    if len(parts) == 2:
        effect = parts[1]
        if effect not in EFFECTS:
            raise UsageProblem(
                f"invalid taint effect: {effect}, unsupported taint effect", "kctl taint", hint="arguments"
            )
        key, _, value = parts[0].partition("=")
        if "=" in value:
            raise UsageProblem(f"invalid taint spec: {spec}", "kctl taint", hint="arguments")
        if problems := names.label_value(value):
            raise UsageProblem(f"invalid taint spec: {spec}, {'; '.join(problems)}", "kctl taint", hint="arguments")
    if problems := names.qualified_name(key):
        raise UsageProblem(f"invalid taint spec: {spec}, {'; '.join(problems)}", "kctl taint", hint="arguments")
    return Taint(key, value, effect)


def _split(args: Sequence[str]) -> tuple[list[str], list[str]]:
    resources: list[str] = []
    specs: list[str] = []
    for arg in args:
        if "=" in arg or ":" in arg or arg.endswith("-"):
            specs.append(arg)
        elif specs:
            raise Failed(f"error: all resources must be specified before taint changes: {arg}")
        else:
            resources.append(arg)
    return resources, specs


def _run(session: Session, args: tuple[str, ...], options: TaintOptions) -> int:
    from kubelab.apimachinery.scheme import NODES

    check_validate(options.validate)
    resources, specs = _split(args)
    if not resources:
        raise Failed("error: one or more resources must be specified as <resource> <name>")
    if not specs:
        raise Failed("error: at least one taint update is required")
    taints = parse(specs)
    both = [f"{one.key}:{one.effect}" for one in taints.remove if any(_same(one, other) for other in taints.add)]
    if both:
        raise Failed(
            f"error: can not both modify and remove the following taint(s) in the same command: {', '.join(both)}"
        )
    if resources[0].partition("/")[0].lower() not in ("node", "nodes", "no"):
        raise Failed(f'error: invalid resource type {resources[0]}, only ["node" "nodes"] are supported')
    if options.all and options.selector:
        raise Failed("error: setting 'all' parameter with a non empty selector is prohibited")
    if not options.all and not options.selector and len(resources) < 2 and "/" not in resources[0]:
        raise Failed("error: at least one resource name must be specified since 'all' parameter is not set")
    named = ResourceOptions(filename=(), recursive=False, selector=options.selector)
    selecting = options.all or bool(options.selector)
    selection = builder.build(session, tuple(resources), named, selecting=selecting)
    tainter = _Tainter(session, options, taints, ResultPrinter.of(options.output, options.dry_run))

    async def work(client: Client) -> visitor.Errors:
        infos: list[Info] = []
        for item in selection.items:
            infos += [info async for info in visitor.infos(client, item, "", label_selector=options.selector)]
        return await visitor.continue_on_error(
            [i for i in infos if i.resource is NODES], lambda i: tainter.one(client, i)
        )

    return visitor.run(session, work)


def _same(one: Taint, other: Taint) -> bool:
    return one.key == other.key and one.effect in ("", other.effect)


class _Tainter:
    def __init__(self, session: Session, options: TaintOptions, taints: Taints, printer: ResultPrinter) -> None:
        self._session, self._options, self._taints, self._printer = session, options, taints, printer

    async def one(self, client: Client, info: Info) -> None:
        """Change one node; again where it changed in between."""
        from kubelab.apimachinery.errors import Conflict
        from kubelab.apimachinery.scheme import NODES

        attempts = ATTEMPTS
        while True:
            node = await client.get(NODES, info.name)
            self._check(node)
            did = self._change(node)
            attempts -= 1
            try:
                if not self._printer.dry:
                    manager = self._options.field_manager
                    node = await client.update(node, dry_run=self._printer.server, field_manager=manager)
                break
            except Conflict:
                if not attempts:
                    raise
        print(self._printer.show(node, did), end="", flush=True)

    def _check(self, node: core_pb2.Node) -> None:
        if self._options.overwrite:
            return
        taken = [t.key for t in self._taints.add if any(_is(t, old) for old in node.spec.taints)]
        if taken:
            keys, name = ",".join(taken), node.metadata.name
            raise Failed(f"error: node {name} already has {keys} taint(s) with same effect(s) and --overwrite is false")

    def _change(self, node: core_pb2.Node) -> str:
        """Change the node's taints and say what was done to them."""
        before = list(node.spec.taints)
        for taint in self._taints.remove:
            if not any(taint.covers(old) for old in before):
                shown = f"{taint.key}:{taint.effect}" if taint.effect else taint.key
                raise Failed(f'error: taint "{shown}" not found')
        kept = [old for old in before if not _any(old, self._taints)]
        del node.spec.taints[:]
        for taint in self._taints.add:
            node.spec.taints.add(key=taint.key, value=taint.value, effect=taint.effect)
        node.spec.taints.extend(kept)
        added, removed = bool(self._taints.add), bool(self._taints.remove)
        if self._options.overwrite or added == removed:
            return "modified"
        return "tainted" if added else "untainted"


def _is(taint: Taint, old: core_pb2.Taint) -> bool:
    return (taint.key, taint.effect) == (old.key, old.effect)


def _any(old: core_pb2.Taint, taints: Taints) -> bool:
    """Say whether an old taint is removed or replaced."""
    replaced: Iterable[bool] = (_is(taint, old) for taint in taints.add)
    return any(replaced) or any(taint.covers(old) for taint in taints.remove)


TAINT = Command(
    "taint",
    run=_run,
    options=TaintOptions,
    flags=(
        Flag("--all", kind="bool", help="Select all nodes in the cluster"),
        DRY_RUN,
        field_manager("taint"),
        OUTPUT,
        Flag(
            "--overwrite",
            kind="bool",
            help="If true, allow taints to be overwritten, otherwise reject taint updates that overwrite existing "
            "taints.",
        ),
        SELECTOR,
        VALIDATE,
    ),
    about="""\
Update the taints on one or more nodes.

  *  A taint consists of a key, value, and effect. As an argument here, it is expressed as key=value:effect.
  *  The key must begin with a letter or number, and may contain letters, numbers, hyphens, dots, and underscores, up \
to 253 characters.
  *  Optionally, the key can begin with a DNS subdomain prefix and a single '/', like example.com/my-app.
  *  The value is optional. If given, it must begin with a letter or number, and may contain letters, numbers, \
hyphens, dots, and underscores, up to 63 characters.
  *  The effect must be NoSchedule, PreferNoSchedule or NoExecute.
  *  Currently taint can only apply to node.""",
    examples="""\
# Update node 'node-1' with a taint with key 'dedicated' and value 'special-user' and effect 'NoSchedule'
# If a taint with that key and effect already exists, its value is replaced as specified
kctl taint nodes node-1 dedicated=special-user:NoSchedule

# Remove from node 'node-1' the taint with key 'dedicated' and effect 'NoSchedule' if one exists
kctl taint nodes node-1 dedicated:NoSchedule-

# Remove from node 'node-1' all the taints with key 'dedicated'
kctl taint nodes node-1 dedicated-

# Add a taint with key 'dedicated' on nodes having label myLabel=X
kctl taint node -l myLabel=X  dedicated=foo:PreferNoSchedule

# Add to node 'node-1' a taint with key 'bar' and no value
kctl taint nodes node-1 bar:NoSchedule""",
    usage="kctl taint NODE NAME KEY_1=VAL_1:TAINT_EFFECT_1 ... KEY_N=VAL_N:TAINT_EFFECT_N",
)
