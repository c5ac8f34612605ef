"""``kctl create serviceaccount``."""

from __future__ import annotations

from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.session import Session


def _create_service_account(session: Session, args: tuple[str, ...], options: GenerateOptions) -> int:
    from kubelab.api.core.v1 import serviceaccounts_pb2
    from kubelab.kctl.create.generated import create_one

    obj = serviceaccounts_pb2.ServiceAccount()
    obj.metadata.name = only_name(session, args)
    return create_one(
        session,
        obj,
        options,
        failing=lambda message: f"error: failed to create serviceaccount: {message}",
    )


SERVICE_ACCOUNT = Command(
    "serviceaccount",
    run=_create_service_account,
    options=GenerateOptions,
    flags=GENERATE_FLAGS,
    about="Create a service account with the specified name.",
    examples="# Create a new service account named my-service-account\nkctl create serviceaccount my-service-account",
    usage="kctl create serviceaccount NAME [--dry-run=client|none]",
)
