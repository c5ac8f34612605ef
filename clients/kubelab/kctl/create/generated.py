"""Creates one object that ``kctl run`` or ``kctl create TYPE`` made from flags, and prints it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.kctl import recording
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.client.client import Client


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


async def create_derived(
    client: Client,
    session: Session,
    obj: Message,
    printer: ResultPrinter,
    done: str,
    *,
    field_manager: str,
    record: bool = False,
    save_config: bool = False,
) -> None:
    """Create what a command made of another object, and print it; ``done`` is such as ``exposed``."""
    from kubelab.apimachinery.manifest import encode
    from kubelab.apimachinery.meta import meta_of
    from kubelab.kctl.apply import lastapplied

    if record:
        recording.record(session, obj)
    if session.namespace_flag or not printer.dry:
        meta_of(obj).namespace = session.namespace
    if not printer.dry:
        if save_config:
            lastapplied.save(obj, encode.to_dict(obj))
        obj = await client.create(obj, session.namespace, dry_run=printer.server, field_manager=field_manager)
    print(printer.show(obj, done), end="", flush=True)
