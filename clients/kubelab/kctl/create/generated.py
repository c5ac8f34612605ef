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
    from kubelab.kctl.commonflags import GenerateOptions


def create_one(
    session: Session,
    obj: Message,
    options: GenerateOptions,
    *,
    failing: Callable[[str], str] | None = None,
) -> int:
    """Create a generated object and print it. ``failing`` words the server's refusal where kubectl has its own way."""
    from kubelab.apimachinery.errors import ApiError
    from kubelab.kctl.apply import lastapplied
    from kubelab.kctl.commonflags import field_validation
    from kubelab.kctl.failures import is_unreachable

    validation = field_validation(options.validate)
    printer = ResultPrinter.of(options.output, options.dry_run, typed=True)
    resource = scheme.of_object(obj)
    namespace = ""
    if resource.namespaced and (session.namespace_flag or not printer.dry):
        namespace = cast(Any, obj).metadata.namespace = session.namespace
    if options.save_config:
        lastapplied.save_generated(obj)
    if not printer.dry:
        sent: dict[str, Any] = {
            "dry_run": printer.server,
            "field_manager": options.field_manager,
            "field_validation": validation,
        }
        try:
            obj = session.run(lambda client: client.create(obj, namespace, **sent))
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
    show: bool = True,
) -> None:
    """Create what a command made of another object, and print it; ``done`` is such as ``exposed``."""
    if record:
        recording.record(session, obj)
    _prepare(session, obj, printer, save_config=save_config)
    if not printer.dry:
        obj = await client.create(obj, session.namespace, dry_run=printer.server, field_manager=field_manager)
    if show:
        print(printer.show(obj, done), end="", flush=True)


def show_derived(session: Session, obj: Message, printer: ResultPrinter) -> None:
    """Print what :func:`create_derived` would create, without a server and what it keeps of the configuration."""
    _prepare(session, obj, printer, save_config=False)
    print(printer.show(obj, "created"), end="", flush=True)


def _prepare(session: Session, obj: Message, printer: ResultPrinter, *, save_config: bool) -> None:
    from kubelab.apimachinery.meta import meta_of
    from kubelab.kctl.apply import lastapplied

    if session.namespace_flag or not printer.dry:
        meta_of(obj).namespace = session.namespace
    if save_config:
        lastapplied.save_generated(obj)
