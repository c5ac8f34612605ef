"""Which objects a command line means: ``pods``, ``pods,svc web``, ``pod/web service/web``, ``all``, or files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.scheme import Resource
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.flags import UsageProblem

if TYPE_CHECKING:
    from kubelab.kctl.session import Session

NO_SUCH_TYPE = "the server doesn't have a resource type"
NOTHING_TOLD = """\
You must provide one or more resources by argument or filename.
Example resource specifications include:
   '-f rsrc.yaml'
   '--filename=rsrc.json'
   '<resource> <name>'
   '<resource>'"""
EMPTY_NAME = "resource name may not be empty"


@dataclass(frozen=True, slots=True)
class Target:
    """One object, or all of a type where ``name`` is None. ``namespace`` is set where a file names the object.

    An empty name is no name: whoever typed one, or forgot one in a file, never meant all objects.
    """

    resource: Resource[Message]
    name: str | None = None
    namespace: str = ""

    def __post_init__(self) -> None:
        if self.name == "":
            raise UsageProblem(EMPTY_NAME)


@dataclass(frozen=True, slots=True)
class One:
    """One object, where it is: what a command acts on."""

    resource: Resource[Message]
    name: str
    namespace: str

    @property
    def noun(self) -> str:
        """``pod/web``."""
        return f"{noun(self.resource)}/{escaped(self.name)}"


@dataclass(frozen=True, slots=True)
class Targets:
    """What was asked for. ``several_types`` is what makes kubectl print ``pod/`` before names."""

    items: tuple[Target, ...]
    several_types: bool = False

    @property
    def named(self) -> bool:
        return any(target.name is not None for target in self.items)


def resource(word: str) -> Resource[Message]:
    """Find a type by any of its names."""
    found = scheme.find(word)
    if found is None or "list" not in found.verbs:
        raise UsageProblem(f'{NO_SUCH_TYPE} "{word.partition(".")[0]}"')
    return found


def resources(words: str) -> list[Resource[Message]]:
    """Find types by names with commas between; ``all`` stands for those that people mean by it."""
    found: dict[str, Resource[Message]] = {}
    for word in words.split(","):
        many = [r for r in scheme.ALL if word in r.categories] or [resource(word)]
        found.update({r.qualified: r for r in many})
    return list(found.values())


def choose(
    session: Session,
    args: Sequence[str],
    filename: Sequence[str],
    *,
    recursive: bool,
    selector: str = "",
    selecting: bool = False,
    all_namespaces: bool = False,
    whole_types: bool = False,
    doing: str = "",
) -> Targets:
    """Read what every command takes: files, or TYPE, TYPE NAME… or TYPE/NAME….

    ``selecting`` is whether a selector or ``--all`` was given, ``whole_types`` whether a type may stand alone without
    one, and ``doing`` is how an error about an object of a file begins.
    """
    if filename:
        if args:
            raise UsageProblem(
                "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
            )
        from kubelab.kctl import files

        return files.targets(session, filename, recursive=recursive, selector=selector, doing=doing)
    if not args:
        raise UsageProblem(NOTHING_TOLD)
    wanted = parse(args, selecting=selecting)
    if not (wanted.named or selecting or whole_types):
        raise UsageProblem("resource(s) were provided, but no name was specified")
    if all_namespaces and any(target.name is not None and target.resource.namespaced for target in wanted.items):
        raise UsageProblem("a resource cannot be retrieved by name across all namespaces")
    return wanted


def parse(args: Sequence[str], *, selecting: bool = False) -> Targets:
    """Read TYPE, TYPE NAME… or TYPE/NAME…; ``selecting`` is whether a selector or ``--all`` was given too."""
    slashes = sum("/" in arg for arg in args)
    if slashes:
        return _combined(args, slashes)
    types, names = resources(args[0]), args[1:]
    several = len(types) > 1 or any(args[0] in r.categories for r in types)
    if not names:
        return Targets(tuple(Target(r) for r in types), several)
    if selecting:
        raise UsageProblem("name cannot be provided when a selector is specified")
    if args[0] in {category for r in scheme.ALL for category in r.categories}:
        raise UsageProblem("you must specify only one resource")
    return Targets(tuple(Target(r, name) for r in types for name in names), several)


def _combined(args: Sequence[str], slashes: int) -> Targets:
    if slashes != len(args):
        raise UsageProblem(
            "there is no need to specify a resource type as a separate argument when passing arguments in "
            "resource/name form (e.g. 'kctl get resource/<resource_name>' instead of 'kctl get resource "
            "resource/<resource_name>'"
        )
    found: list[Target] = []
    for arg in args:
        word, _, name = arg.partition("/")
        if "/" in name:
            raise UsageProblem("arguments in resource/name form may not have more than one slash")
        if not word or not name:
            raise UsageProblem("arguments in resource/name form must have a single resource and name")
        found.append(Target(resource(word), name))
    return Targets(tuple(found), len({t.resource.qualified for t in found}) > 1)


def noun(resource: Resource[Message]) -> str:
    """``pod``, or ``lease.coordination.k8s.io``: how created objects and ``-o name`` are called."""
    kind = resource.kind.lower()
    return f"{kind}.{resource.group}" if resource.group else kind
