"""``kctl create quota``."""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session


@dataclass(frozen=True, slots=True)
class QuotaOptions(GenerateOptions):
    hard: str
    scopes: str


def _create_quota(session: Session, args: tuple[str, ...], options: QuotaOptions) -> int:
    from kubelab.api.core.v1 import limits_pb2
    from kubelab.apimachinery import quantity
    from kubelab.kctl.create.generated import create_one

    obj = limits_pb2.ResourceQuota()
    obj.metadata.name = only_name(session, args)
    for statement in options.hard.split(",") if options.hard else ():
        name, separator, amount = statement.partition("=")
        if not separator or "=" in amount:
            raise Failed(f"error: Invalid argument syntax {statement}, expected <resource>=<value>")
        try:
            if not amount:
                raise quantity.QuantityError(quantity.FORMAT_MESSAGE)
            obj.spec.hard[name].string = quantity.canonical(amount)
        except quantity.QuantityError as err:
            raise Failed(f"error: {err}") from err
    obj.spec.scopes.extend(options.scopes.split(",") if options.scopes else ())
    return create_one(
        session,
        obj,
        options,
        failing=lambda message: f"error: failed to create quota: {message}",
    )


QUOTA = Command(
    "quota",
    run=_create_quota,
    options=QuotaOptions,
    flags=(
        Flag("--hard", help="A comma-delimited set of resource=quantity pairs that define a hard limit."),
        Flag(
            "--scopes",
            help="A comma-delimited set of quota scopes that must all match each object tracked by the quota.",
        ),
        *GENERATE_FLAGS,
    ),
    about="Create a resource quota with the specified name, hard limits, and optional scopes.",
    examples="""\
# Create a new resource quota named my-quota
kctl create quota my-quota --hard=cpu=1,memory=1G,pods=2,services=3,replicationcontrollers=2,resourcequotas=1,secrets=5

# Create a new resource quota named best-effort
kctl create quota best-effort --hard=pods=100 --scopes=BestEffort
""",
    usage="kctl create quota NAME [--hard=key1=value1,key2=value2] [--scopes=Scope1,Scope2] [--dry-run=client|none]",
)
