"""The request of ``kctl get`` to the server, and the output format."""

from __future__ import annotations

from dataclasses import dataclass, field

from kubelab.kctl.documentprinters import DocumentPrinter
from kubelab.kctl.resource import ResourceSelection
from kubelab.kctl.tableprinter import PrintOptions


@dataclass(frozen=True, slots=True)
class GetRequest:
    """A command line of ``kctl get``, checked and resolved."""

    selection: ResourceSelection
    namespace: str  # "" for all
    all_namespaces: bool = False
    label_selector: str = ""
    field_selector: str = ""
    printer: DocumentPrinter | None = None  # of whole objects; None for the server's tables
    printing: PrintOptions = field(default_factory=PrintOptions)
    ignore_not_found: bool = False
    chunk: int = 500
    sort_by: str = ""  # a JSONPath expression
    subresource: str = ""
    watch_events: bool = False  # print the type of a change too

    @property
    def include_object(self) -> str:
        """What the server's tables carry beside each row: the whole object, where rows are sorted by a field of it."""
        return "Object" if self.sort_by else "Metadata"
