"""Find the resources that a command line names: ``pods``, ``pods,svc web``, ``pod/web service/web``, ``all``.

The types are those of kubectl's package ``resource`` (k8s.io/cli-runtime). :mod:`kubelab.kctl.builder` makes a
:class:`ResourceSelection` from arguments or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.scheme import Resource
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.flags import UsageProblem

NO_SUCH_TYPE = "the server doesn't have a resource type"
EMPTY_NAME = "resource name may not be empty"


class UnknownType(UsageProblem):
    """No kind that is known has this name."""


@dataclass(frozen=True, slots=True)
class ResourceTuple:
    """One object, or all of a type where ``name`` is None. ``namespace`` is set where a file names the object.

    An empty name raises UsageProblem: it never stands for all objects.
    """

    resource: Resource[Message]
    name: str | None = None
    namespace: str = ""

    def __post_init__(self) -> None:
        if self.name == "":
            raise UsageProblem(EMPTY_NAME)


@dataclass(frozen=True, slots=True)
class Info:
    """One object by its resource, name and namespace: what a command acts on."""

    resource: Resource[Message]
    name: str
    namespace: str

    @property
    def noun(self) -> str:
        """``pod/web``."""
        return f"{noun(self.resource)}/{escaped(self.name)}"


@dataclass(frozen=True, slots=True)
class ResourceSelection:
    """The resources that a command line selects. With ``several_types`` kubectl prints ``pod/`` before names."""

    items: tuple[ResourceTuple, ...]
    several_types: bool = False

    @property
    def named(self) -> bool:
        return any(item.name is not None for item in self.items)


def find(word: str) -> Resource[Message]:
    """Find a type by any of its names. What it does not allow (bindings are only created) the server refuses."""
    resource = scheme.find(word)
    if resource is None:
        raise UnknownType(f'{NO_SUCH_TYPE} "{word.partition(".")[0]}"')
    return resource


def find_all(words: str) -> list[Resource[Message]]:
    """Find types by names with commas between; a category such as ``all`` stands for its members."""
    resources: dict[str, Resource[Message]] = {}
    for word in words.split(","):
        members = [r for r in scheme.known() if word in r.categories] or [find(word)]
        resources.update({r.qualified: r for r in members})
    return list(resources.values())


def parse(args: Sequence[str], *, selecting: bool = False) -> ResourceSelection:
    """Read TYPE, TYPE NAME… or TYPE/NAME…; ``selecting`` is whether a selector or ``--all`` was given too."""
    slashes = sum("/" in arg for arg in args)
    if slashes:
        return _combined(args, slashes)
    types, names = find_all(args[0]), args[1:]
    several = len(types) > 1 or any(args[0] in r.categories for r in types)
    if not names:
        return ResourceSelection(tuple(ResourceTuple(r) for r in types), several)
    if selecting:
        raise UsageProblem("name cannot be provided when a selector is specified")
    if args[0] in {category for r in scheme.known() for category in r.categories}:
        raise UsageProblem("you must specify only one resource")
    return ResourceSelection(tuple(ResourceTuple(r, name) for r in types for name in names), several)


def _combined(args: Sequence[str], slashes: int) -> ResourceSelection:
    if slashes != len(args):
        raise UsageProblem(
            "there is no need to specify a resource type as a separate argument when passing arguments in "
            "resource/name form (e.g. 'kctl get resource/<resource_name>' instead of 'kctl get resource "
            "resource/<resource_name>'"
        )
    items: list[ResourceTuple] = []
    for arg in args:
        word, _, name = arg.partition("/")
        if "/" in name:
            raise UsageProblem("arguments in resource/name form may not have more than one slash")
        if not word or not name:
            raise UsageProblem("arguments in resource/name form must have a single resource and name")
        items.append(ResourceTuple(find(word), name))
    return selection_of(items)


def selection_of(items: Sequence[ResourceTuple]) -> ResourceSelection:
    """Make a selection of objects that were named one by one."""
    return ResourceSelection(tuple(items), len({item.resource.qualified for item in items}) > 1)


def noun(resource: Resource[Message]) -> str:
    """``pod``, or ``lease.coordination.k8s.io``: how created objects and ``-o name`` are called."""
    kind = resource.kind.lower()
    return f"{kind}.{resource.group}" if resource.group else kind
