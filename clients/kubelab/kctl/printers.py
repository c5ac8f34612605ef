"""Prints what was done to an object. Whole objects: documentprinters.py; tables: tableprinter.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.message import Message

from kubelab.apimachinery import scheme
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.documentprinters import DocumentPrinter, PrintFlags, printer_of
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.resource import noun

UNKNOWN = "<unknown>"  # the name of an object that has none yet


@dataclass(slots=True)
class ResultPrinter:
    """Prints what was done to one object after another, in the form of ``-o``: a line, or the whole object."""

    output: str
    dry: bool  # nothing is sent
    printer: DocumentPrinter | None = None  # of the whole object; None for a line
    server: bool = False  # the server is asked not to keep what is sent
    typed: bool = False  # kubectl's command holds typed objects: JSON has the order of their structs

    @classmethod
    def of(cls, output: str, dry_run: str, *, typed: bool = False) -> ResultPrinter:
        """Check the values of ``--output`` and ``--dry-run``. Raises UsageProblem in kubectl's words."""
        printer = printer_of(PrintFlags.of(output)) if output else None
        if dry_run in ("client", "true"):
            return cls(output, True, printer, typed=typed)
        if dry_run in ("none", "false"):
            return cls(output, False, printer, typed=typed)
        if dry_run == "server":
            return cls(output, False, printer, server=True, typed=typed)
        if dry_run == "unchanged":
            raise UsageProblem(
                '--dry-run flag without a value was specified. A value must be set: "none", "server", or "client".'
            )
        raise UsageProblem(f'Invalid dry-run value ({dry_run}). Must be "none", "server", or "client".')

    @property
    def whole(self) -> bool:
        """Say whether whole objects are printed, not lines or names."""
        return self.printer is not None and self.output != "name"

    def show(self, obj: Message, did: str, *, as_written: bool = False) -> str:
        """Give the text for one object: ``pod/web created``. ``as_written`` is for one that a file has."""
        from kubelab.apimachinery.manifest import encode

        name = f"{noun(scheme.of_object(obj))}/{escaped(cast(Any, obj).metadata.name) or UNKNOWN}"
        if self.typed and self.printer is not None and self.output == "json":
            from kubelab.kctl import structorder

            return self.printer.render(structorder.document_of(obj))
        return self.show_document(encode.to_dict(obj, as_written=as_written) if self.whole else {}, name, did)

    def show_document(self, document: dict[str, Any], name: str, did: str) -> str:
        """Give the text for one object in JSON's types; ``name`` is such as ``pod/web``."""
        if self.printer is None:
            return f"{name} {did}{self.note}\n"
        return self.printer.render(sorted_keys(document)) if self.whole and document else f"{name}\n"

    @property
    def note(self) -> str:
        """What stands behind everything that a dry run did not do."""
        if self.dry:
            return " (dry run)"
        return " (server dry run)" if self.server else ""


def sorted_keys(value: Any) -> Any:
    """Sort the keys of every object, as Go's JSON encoder does with maps."""
    if isinstance(value, dict):
        entries = cast(dict[str, Any], value)
        return {key: sorted_keys(entries[key]) for key in sorted(entries)}
    return [sorted_keys(part) for part in cast(list[Any], value)] if isinstance(value, list) else value
