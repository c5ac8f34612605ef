"""``kctl create poddisruptionbudget``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session

_BOUND = re.compile(r"[0-9]+%?", re.ASCII)


@dataclass(frozen=True, slots=True)
class BudgetOptions(GenerateOptions):
    max_unavailable: str
    min_available: str
    selector: str


def _create(session: Session, args: tuple[str, ...], options: BudgetOptions) -> int:
    from kubelab.api.policy.v1 import policy_pb2
    from kubelab.apimachinery import intstr, labels
    from kubelab.kctl.create.generated import create_one

    obj = policy_pb2.PodDisruptionBudget()
    obj.metadata.name = only_name(session, args)
    _check(options)
    try:
        requirements = labels.parse(options.selector).requirements
    except labels.SelectorError as err:
        raise Failed(f"error: {err}") from err
    for requirement in requirements:
        if requirement.operator not in ("=", "=="):
            raise Failed(f'error: "{requirement.operator}" is not a supported operator: expected equality alone')
        obj.spec.selector.matchLabels[requirement.key] = requirement.values[0]
    if options.min_available:
        obj.spec.minAvailable.CopyFrom(intstr.parse(options.min_available))
    else:
        obj.spec.maxUnavailable.CopyFrom(intstr.parse(options.max_unavailable))
    return create_one(
        session,
        obj,
        options,
        failing=lambda message: f"error: failed to create poddisruptionbudgets: {message}",
    )


def _check(options: BudgetOptions) -> None:
    """Raise Failed in kubectl's words where a flag is missing or wrong."""
    if not options.selector:
        raise Failed("error: a selector must be specified")
    if not options.max_unavailable and not options.min_available:
        raise Failed("error: one of min-available or max-unavailable must be specified")
    if options.max_unavailable and options.min_available:
        raise Failed("error: min-available and max-unavailable cannot be both specified")
    for name, value in (("min-available", options.min_available), ("max-unavailable", options.max_unavailable)):
        if value and not _BOUND.fullmatch(value):
            raise Failed(f"error: invalid format specified for {name}")


POD_DISRUPTION_BUDGET = Command(
    "poddisruptionbudget",
    run=_create,
    options=BudgetOptions,
    flags=(
        Flag("--max-unavailable", help="The maximum number or percentage of unavailable pods this budget requires."),
        Flag("--min-available", help="The minimum number or percentage of available pods this budget requires."),
        Flag(
            "--selector",
            help="A label selector to use for this budget. Only equality-based selector requirements are supported.",
        ),
        *GENERATE_FLAGS,
    ),
    about="Create a pod disruption budget with the specified name, selector, and desired minimum available pods.",
    examples="""\
# Create a pod disruption budget named my-pdb that will select all pods with the app=rails label
# and require at least one of them being available at any point in time
kctl create poddisruptionbudget my-pdb --selector=app=rails --min-available=1

# Create a pod disruption budget named my-pdb that will select all pods with the app=nginx label
# and require at least half of the pods selected to be available at any point in time
kctl create pdb my-pdb --selector=app=nginx --min-available=50%
""",
    usage="kctl create poddisruptionbudget NAME --selector=SELECTOR --min-available=N [--dry-run=server|client|none]",
)
