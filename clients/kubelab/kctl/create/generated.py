"""Creates one object that ``kctl run`` or ``kctl create TYPE`` made from flags, and prints it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.session import Failed, Session


def create_one(
    session: Session,
    obj: Message,
    printer: ResultPrinter,
    *,
    failing: Callable[[str], str] | None = None,
    field_manager: str = "kubectl-create",
) -> int:
    """Create a generated object and print it. ``failing`` words the server's refusal where kubectl has its own way."""
    from kubelab.apimachinery.errors import ApiError
    from kubelab.kctl.failures import is_unreachable

    resource = scheme.of_object(obj)
    namespace = ""
    if resource.namespaced and (session.namespace_flag or not printer.dry):
        namespace = cast(Any, obj).metadata.namespace = session.namespace
    if not printer.dry:
        try:
            obj = session.run(
                lambda client: client.create(obj, namespace, dry_run=printer.server, field_manager=field_manager)
            )
        except ApiError as err:
            if failing is None or is_unreachable(err):
                raise
            raise Failed(failing(err.message)) from err
    print(printer.show(obj, "created"), end="")
    return 0
