"""``kctl set selector``: which pods a service selects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import Message

from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, OUTPUT, field_manager
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.recording import RECORD
from kubelab.kctl.session import Failed, Session
from kubelab.kctl.set import updating
from kubelab.kctl.set.updating import SetOptions, Update

if TYPE_CHECKING:
    from kubelab.apimachinery.labels import Requirement

_OPERATORS = {"in": "In", "notin": "NotIn", "exists": "Exists", "!": "DoesNotExist"}


@dataclass(frozen=True, slots=True)
class SelectorOptions(SetOptions):
    resource_version: str


def _selector(session: Session, args: tuple[str, ...], options: SelectorOptions) -> int:
    if not args:
        raise UsageProblem("one selector is required")
    *resources, text = args
    requirements = _parse(text)
    if options.local and resources:
        raise UsageProblem(updating.LOCAL_RESOURCE)

    def change(obj: Message) -> Sequence[str]:
        if obj.DESCRIPTOR.name != "Service":
            raise Failed("error: setting a selector is only supported for Services")
        service = cast(Any, obj)
        if expressions := [r for r in requirements if r.operator in _OPERATORS]:
            shown = " ".join(f"{{{r.key} {_OPERATORS[r.operator]} [{' '.join(r.values)}]}}" for r in expressions)
            raise Failed(f"error: match expression [{shown}] not supported on this object")
        service.spec.selector.clear()
        service.spec.selector.update({r.key: r.values[0] for r in requirements})
        return ()

    update = Update("selector updated", "", change, skip_unchanged=False, resource_version=options.resource_version)
    return updating.run(session, resources, options, update)


def _parse(text: str) -> tuple[Requirement, ...]:
    from kubelab.apimachinery import labels

    try:
        requirements = labels.parse(text).requirements
    except labels.SelectorError as err:
        raise UsageProblem(f'couldn\'t parse the selector string "{text}": {err}') from err
    for requirement in requirements:
        if requirement.operator in ("!=", ">", "<"):
            operator = {">": "gt", "<": "lt"}.get(requirement.operator, requirement.operator)
            raise UsageProblem(f'"{operator}" is not a valid label selector operator')
    return requirements


SELECTOR = Command(
    "selector",
    kustomizes=False,
    run=_selector,
    options=SelectorOptions,
    flags=(
        Flag("--all", kind="bool", help="Select all resources in the namespace of the specified resource types"),
        DRY_RUN,
        field_manager("set"),
        Flag("--filename", "-f", kind="csv", help="identifying the resource."),
        Flag("--local", kind="bool", help="If true, annotation will NOT contact api-server but run locally."),
        OUTPUT,
        RECORD,
        Flag(
            "--recursive",
            "-R",
            kind="bool",
            default=True,
            help="Process the directory used in -f, --filename recursively. Useful when you want to manage related "
            "manifests organized within the same directory.",
        ),
        Flag(
            "--resource-version",
            help="If non-empty, the selectors update will only succeed if this is the current resource-version for "
            "the object. Only valid when specifying a single resource.",
        ),
    ),
    about="""\
Set the selector on a resource. Note that the new selector will overwrite the old selector if the resource had one \
prior to the invocation of 'set selector'.

 A selector must begin with a letter or number, and may contain letters, numbers, hyphens, dots, and underscores, up \
to 63 characters. If --resource-version is specified, then updates will use this resource version, otherwise the \
existing resource-version will be used. Note: currently selectors can only be set on Service objects.""",
    examples="""\
# Set the selector before creating a service
kctl create service clusterip my-svc --clusterip="None" -o yaml --dry-run=client | \
kctl set selector --local -f - 'environment=qa' -o yaml | kctl create -f -
""",
    usage="kctl set selector (-f FILENAME | TYPE NAME) EXPRESSIONS [--resource-version=version]",
)
