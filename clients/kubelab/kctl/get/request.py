"""The request of ``kctl get`` to the server, and the output format."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    output: str = ""
    printing: PrintOptions = field(default_factory=PrintOptions)
    ignore_not_found: bool = False
    chunk: int = 500

    @property
    def as_objects(self) -> bool:
        """Whether whole objects are printed, not a table."""
        return self.output in ("json", "yaml", "name")
