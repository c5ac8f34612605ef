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
from kubelab.kctl.session import Failed

UNKNOWN = "<unknown>"  # the name of an object that has none yet


@dataclass(slots=True)
class ResultPrinter:
    """Prints what was done to one object after another, in the form of ``-o``: a line, or the whole object."""

    output: str
    dry: bool
    printer: DocumentPrinter | None = None  # of the whole object; None for a line

    @classmethod
    def of(cls, output: str, dry_run: str, template: PrintFlags | None = None) -> ResultPrinter:
        """Check the values of ``--output`` and ``--dry-run``. Raises UsageProblem in kubectl's words."""
        flags = template or PrintFlags(output)
        printer = printer_of(flags) if flags.output or flags.template else None
        if dry_run in ("client", "true"):
            return cls(output, True, printer)
        if dry_run in ("none", "false"):
            return cls(output, False, printer)
        if dry_run == "server":
            raise Failed("error: the server knows no dry run; use --dry-run=client")
        if dry_run == "unchanged":
            raise UsageProblem(
                '--dry-run flag without a value was specified. A value must be set: "none", "server", or "client".'
            )
        raise UsageProblem(f'Invalid dry-run value ({dry_run}). Must be "none", "server", or "client".')

    def show(self, obj: Message, did: str, *, as_written: bool = False) -> str:
        """Give the text for one object: ``pod/web created``. ``as_written`` is for one that a file has."""
        if self.printer is not None and self.output != "name":
            from kubelab.apimachinery.manifest import encode

            return self.printer.render(encode.to_dict(obj, as_written=as_written))
        name = f"{noun(scheme.of_object(obj))}/{escaped(cast(Any, obj).metadata.name) or UNKNOWN}"
        return f"{name}\n" if self.printer is not None else f"{name} {did}{' (dry run)' if self.dry else ''}\n"
