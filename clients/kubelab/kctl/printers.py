"""Printers in kubectl's sense (k8s.io/cli-runtime ``printers``): tables, whole objects, and what was done to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.scheme import Resource
from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.resource import noun
from kubelab.kctl.session import Failed
from kubelab.kctl.tables import Columns

NONE = "<none>"  # of labels at all; where a single one is missing, kubectl leaves the column empty
UNKNOWN = "<unknown>"  # the name of an object that has none yet
FORMATS = ("", "json", "yaml", "name")


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """How a table is printed (kubectl's ``printers.PrintOptions``)."""

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

    def render(self, table: meta_pb2.Table) -> str:
        """Give a table's rows as lines, below a header the first time."""
        rows: list[list[str]] = []
        if not self._headed:
            definitions = table.columnDefinitions or [
                meta_pb2.TableColumnDefinition(name=c.name, priority=c.priority) for c in self.resource.columns
            ]
            self._shown = [n for n, c in enumerate(definitions) if self.options.wide or c.priority == 0]
            self._headed = True
            if not self.options.no_headers:
                rows.append(self._header(definitions))
        rows += [self._row(row) for row in table.rows]
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


def render_objects(objects: Sequence[Message], output: str, *, single: bool) -> str:
    """Give objects as ``-o json``, ``-o yaml`` or ``-o name``; several become one ``v1 List``."""
    from kubelab.apimachinery.manifest import encode

    if output == "name":
        return "".join(f"{noun(scheme.of_object(obj))}/{escaped(cast(Any, obj).metadata.name)}\n" for obj in objects)
    document = encode.to_dict(objects[0]) if single and objects else encode.list_to_dict(objects)
    return encode.to_json(document) if output == "json" else encode.to_yaml(document)


@dataclass(slots=True)
class ResultPrinter:
    """Prints what was done to one object after another, in the form of ``-o``: a line, or the whole object."""

    output: str
    dry: bool
    _shown: int = 0

    @classmethod
    def of(cls, output: str, dry_run: str) -> ResultPrinter:
        """Check the values of ``--output`` and ``--dry-run``. Raises UsageProblem in kubectl's words."""
        if output not in FORMATS:
            raise UsageProblem(
                f'unable to match a printer suitable for the output format "{output}", allowed formats are: '
                f"{','.join(sorted(f for f in FORMATS if f))}"
            )
        if dry_run in ("client", "true"):
            return cls(output, True)
        if dry_run in ("none", "false"):
            return cls(output, False)
        if dry_run == "server":
            raise Failed("error: the server knows no dry run; use --dry-run=client")
        if dry_run == "unchanged":
            raise UsageProblem('--dry-run flag without a value was specified. A value must be set: "none" or "client".')
        raise UsageProblem(f'Invalid dry-run value ({dry_run}). Must be "none" or "client".')

    def show(self, obj: Message, did: str, *, as_written: bool = False) -> str:
        """Give the text for one object: ``pod/web created``. ``as_written`` is for one that a file has."""
        from kubelab.apimachinery.manifest import encode

        name = f"{noun(scheme.of_object(obj))}/{escaped(cast(Any, obj).metadata.name) or UNKNOWN}"
        self._shown += 1
        if self.output == "name":
            return f"{name}\n"
        if self.output == "json":
            return encode.to_json(encode.to_dict(obj, as_written=as_written))
        if self.output == "yaml":
            separator = "---\n" if self._shown > 1 else ""
            return separator + encode.to_yaml(encode.to_dict(obj, as_written=as_written))
        return f"{name} {did}{' (dry run)' if self.dry else ''}\n"
