"""Prints the server's tables with the columns that ``kctl get``'s flags choose (k8s.io/cli-runtime ``printers``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import Resource
from kubelab.kctl.resource import noun
from kubelab.kctl.tables import Columns

NONE = "<none>"  # no labels at all; where a single one is missing, kubectl leaves the column empty


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """The options of a table printer (kubectl's ``printers.PrintOptions``)."""

    wide: bool = False
    no_headers: bool = False
    with_namespace: bool = False  # for types that live in one
    with_kind: bool = False
    show_labels: bool = False
    column_labels: tuple[str, ...] = ()


@dataclass(slots=True)
class TablePrinter:
    """Prints one table of the server's. It is kept while a watch goes on, so that later rows line up."""

    options: PrintOptions
    resource: Resource[Message]
    columns: Columns = field(default_factory=Columns)
    _shown: list[int] = field(default_factory=list[int])
    _headed: bool = False

    def render(self, table: meta_pb2.Table, event: str = "") -> str:
        """Give a table's rows as lines, below a header the first time. ``event`` is a first column of its own."""
        rows: list[list[str]] = []
        if not self._headed:
            definitions = table.columnDefinitions or [
                meta_pb2.TableColumnDefinition(name=c.name, priority=c.priority) for c in self.resource.columns
            ]
            self._shown = [n for n, c in enumerate(definitions) if self.options.wide or c.priority == 0]
            self._headed = True
            if not self.options.no_headers:
                rows.append(["EVENT"] * bool(event) + self._header(definitions))
        rows += [[event] * bool(event) + self._row(row) for row in table.rows]
        return self.columns.render(rows)

    def _header(self, definitions: Sequence[meta_pb2.TableColumnDefinition]) -> list[str]:
        header = ["NAMESPACE"] if self._with_namespace else []
        header += [definitions[n].name.upper() for n in self._shown]
        header += [key.rpartition("/")[2].upper() for key in self.options.column_labels]
        return [*header, "LABELS"] if self.options.show_labels else header

    def _row(self, row: meta_pb2.TableRow) -> list[str]:
        metadata = meta_pb2.PartialObjectMetadata.FromString(row.object.value).metadata
        cells = [row.cells[n] if n < len(row.cells) else "" for n in self._shown]
        if self.options.with_kind and cells and self.resource.columns[0].name == "Name":
            cells[0] = f"{noun(self.resource)}/{cells[0]}"
        if self._with_namespace:
            cells.insert(0, metadata.namespace)
        labels = metadata.labels
        cells += [labels.get(key, "") for key in self.options.column_labels]
        if self.options.show_labels:
            cells.append(",".join(f"{key}={labels[key]}" for key in sorted(labels)) or NONE)
        return cells

    @property
    def _with_namespace(self) -> bool:
        return self.options.with_namespace and self.resource.namespaced
