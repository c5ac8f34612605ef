"""``kctl create namespace``."""

from __future__ import annotations

from kubelab.kctl import generators
from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.create.generated import create_one
from kubelab.kctl.session import Session


def _create_namespace(session: Session, args: tuple[str, ...], options: GenerateOptions) -> int:
    namespace = generators.namespace(only_name(session, args))
    return create_one(session, namespace, options)


NAMESPACE = Command(
    "namespace",
    run=_create_namespace,
    options=GenerateOptions,
    flags=GENERATE_FLAGS,
    about="Create a namespace with the specified name.",
    examples="# Create a new namespace named my-namespace\nkctl create namespace my-namespace",
    usage="kctl create namespace NAME [--dry-run=client|none]",
)
