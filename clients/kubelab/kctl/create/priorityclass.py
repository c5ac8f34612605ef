"""``kctl create priorityclass``."""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Session


@dataclass(frozen=True, slots=True)
class PriorityClassOptions(GenerateOptions):
    description: str
    global_default: bool
    preemption_policy: str
    value: int


def _create(session: Session, args: tuple[str, ...], options: PriorityClassOptions) -> int:
    from kubelab.api.scheduling.v1 import scheduling_pb2
    from kubelab.kctl.create.generated import create_one

    obj = scheduling_pb2.PriorityClass(
        value=options.value,
        globalDefault=options.global_default,
        description=options.description,
        preemptionPolicy=options.preemption_policy,
    )
    obj.metadata.name = only_name(session, args)
    return create_one(
        session,
        obj,
        options,
        failing=lambda message: f"error: failed to create priorityclass: {message}",
    )


PRIORITY_CLASS = Command(
    "priorityclass",
    run=_create,
    options=PriorityClassOptions,
    flags=(
        Flag(
            "--description",
            help="description is an arbitrary string that usually provides guidelines on when this priority class "
            "should be used.",
        ),
        Flag(
            "--global-default",
            kind="bool",
            help="global-default specifies whether this PriorityClass should be considered as the default priority.",
        ),
        Flag(
            "--preemption-policy",
            default="PreemptLowerPriority",
            help="preemption-policy is the policy for preempting pods with lower priority.",
        ),
        Flag("--value", kind="int", default=0, help="the value of this priority class."),
        *GENERATE_FLAGS,
    ),
    about="Create a priority class with the specified name, value, globalDefault and description.",
    examples="""\
# Create a priority class named high-priority
kctl create priorityclass high-priority --value=1000 --description="high priority"

# Create a priority class named default-priority that is considered as the global default priority
kctl create priorityclass default-priority --value=1000 --global-default=true --description="default priority"

# Create a priority class named high-priority that cannot preempt pods with lower priority
kctl create priorityclass high-priority --value=1000 --description="high priority" --preemption-policy="Never"
""",
    usage="kctl create priorityclass NAME --value=VALUE --global-default=BOOL [--dry-run=server|client|none]",
)
