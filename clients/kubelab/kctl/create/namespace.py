"""``kctl create namespace``."""

from __future__ import annotations

from kubelab.kctl import generators
from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import DRY_RUN, OUTPUT, CreateOptions
from kubelab.kctl.create.generated import create_one
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.session import Session


def _create_namespace(session: Session, args: tuple[str, ...], options: CreateOptions) -> int:
    namespace = generators.namespace(only_name(session, args))
    return create_one(session, namespace, ResultPrinter.of(options.output, options.dry_run))


NAMESPACE = Command(
    "namespace",
    run=_create_namespace,
    options=CreateOptions,
    flags=(DRY_RUN, OUTPUT),
    about="Create a namespace with the specified name.",
    examples="# Create a new namespace named my-namespace\nkctl create namespace my-namespace",
    usage="kctl create namespace NAME [--dry-run=client|none]",
)
