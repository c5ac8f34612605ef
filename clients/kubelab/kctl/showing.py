"""Fetch what ``kctl get`` asked for and print it: tables side by side, or objects as JSON, YAML or names."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.errors import ApiError, NotFound
from kubelab.apimachinery.scheme import Resource
from kubelab.apimachinery.terminal import escaped
from kubelab.client.client import Client
from kubelab.kctl.get import Request
from kubelab.kctl.listing import explained
from kubelab.kctl.tables import Columns
from kubelab.kctl.targets import Target, noun

NONE = "<none>"  # of labels at all; where a single one is missing, kubectl leaves the column empty


async def run(client: Client, request: Request) -> list[ApiError]:
    """Print everything that can be had, and give the errors of what cannot."""
    if request.as_objects:
        return await _objects(client, request)
    return await _tables(client, request)


@dataclass(slots=True)
class Sheet:
    """One printed table. It is kept while a watch goes on, so that later rows line up."""

    request: Request
    resource: Resource[Message]
    columns: Columns = field(default_factory=Columns)
    _shown: list[int] = field(default_factory=list[int])
    _headed: bool = False

    def render(self, table: meta_pb2.Table) -> str:
        """Give a table's rows as lines, below a header the first time."""
        rows: list[list[str]] = []
        if not self._headed:
            wide = self.request.output == "wide"
            definitions = table.columnDefinitions or [
                meta_pb2.TableColumnDefinition(name=c.name, priority=c.priority) for c in self.resource.columns
            ]
            self._shown = [n for n, c in enumerate(definitions) if wide or c.priority == 0]
            self._headed = True
            if not self.request.no_headers:
                rows.append(self._header(definitions))
        rows += [self._row(row) for row in table.rows]
        return self.columns.render(rows)

    def _header(self, definitions: Sequence[meta_pb2.TableColumnDefinition]) -> list[str]:
        header = ["NAMESPACE"] if self._with_namespace else []
        header += [definitions[n].name.upper() for n in self._shown]
        header += [key.rpartition("/")[2].upper() for key in self.request.label_columns]
        return [*header, "LABELS"] if self.request.show_labels else header

    def _row(self, row: meta_pb2.TableRow) -> list[str]:
        metadata = _metadata(row)
        cells = [row.cells[n] if n < len(row.cells) else "" for n in self._shown]
        if self.request.show_kind and cells and self.resource.columns[0].name == "Name":
            cells[0] = f"{noun(self.resource)}/{cells[0]}"
        if self._with_namespace:
            cells.insert(0, metadata.namespace)
        labels = metadata.labels
        cells += [labels.get(key, "") for key in self.request.label_columns]
        if self.request.show_labels:
            cells.append(",".join(f"{key}={labels[key]}" for key in sorted(labels)) or NONE)
        return cells

    @property
    def _with_namespace(self) -> bool:
        return self.request.all_namespaces and self.resource.namespaced


async def _tables(client: Client, request: Request) -> list[ApiError]:
    failed: list[ApiError] = []
    printed = False
    sheet: Sheet | None = None
    pending = meta_pb2.Table()

    def flush() -> None:
        nonlocal printed
        if sheet is not None and pending.rows:
            between = "\n" if printed and not request.no_headers else ""
            print(between + sheet.render(pending), end="")
            printed = True

    for target in request.targets.items:
        try:
            table = await _table(client, request, target)
        except ApiError as err:
            if not (isinstance(err, NotFound) and request.ignore_not_found):
                failed.append(err)
            continue
        if sheet is not None and sheet.resource is target.resource:
            pending.rows.extend(table.rows)
        else:
            flush()
            sheet, pending = Sheet(request, target.resource), table
    flush()
    if not printed and not failed and not request.ignore_not_found:
        anywhere = request.all_namespaces or not all(t.resource.namespaced for t in request.targets.items)
        where = "" if anywhere else f" in {request.namespace} namespace."
        print(f"No resources found{where}", file=sys.stderr)
    return failed


async def _table(client: Client, request: Request, target: Target) -> meta_pb2.Table:
    namespace = target.namespace or request.namespace
    if target.name is not None:
        return await client.get_table(target.resource, target.name, namespace)
    whole = meta_pb2.Table()
    continue_ = ""
    while True:
        with explained(target.resource, request.label_selector, request.field_selector):
            part = await client.list_table(
                target.resource,
                namespace,
                label_selector=request.label_selector,
                field_selector=request.field_selector,
                limit=request.chunk,
                continue_=continue_,
            )
        if not continue_:
            whole = part
        else:
            whole.rows.extend(part.rows)
        continue_ = getattr(part.metadata, "continue")
        if not continue_:
            return whole


async def _objects(client: Client, request: Request) -> list[ApiError]:
    failed: list[ApiError] = []
    found: list[Message] = []
    for target in request.targets.items:
        try:
            found += [obj async for obj in fetch(client, request, target)]
        except ApiError as err:
            if not (isinstance(err, NotFound) and request.ignore_not_found):
                failed.append(err)
    single = len(request.targets.items) == 1 and request.targets.named
    if found or not (failed or single):
        print(render(found, request.output, single=single), end="")
    return failed


async def fetch(client: Client, request: Request, target: Target) -> AsyncIterator[Message]:
    """Yield the objects that a target means."""
    namespace = target.namespace or request.namespace
    if target.name is not None:
        yield await client.get(target.resource, target.name, namespace)
        return
    pages = client.pages(
        target.resource,
        namespace,
        label_selector=request.label_selector,
        field_selector=request.field_selector,
        chunk=request.chunk,
    )
    with explained(target.resource, request.label_selector, request.field_selector):
        async for page in pages:
            for obj in page.items:
                yield obj


def render(objects: Sequence[Message], output: str, *, single: bool) -> str:
    """Give objects as ``-o json``, ``-o yaml`` or ``-o name``; several become one ``v1 List``."""
    from kubelab.apimachinery import scheme
    from kubelab.apimachinery.manifest import encode

    if output == "name":
        return "".join(f"{noun(scheme.of_object(obj))}/{escaped(cast(Any, obj).metadata.name)}\n" for obj in objects)
    document = encode.to_dict(objects[0]) if single and objects else encode.list_to_dict(objects)
    return encode.to_json(document) if output == "json" else encode.to_yaml(document)


def _metadata(row: meta_pb2.TableRow) -> meta_pb2.ObjectMeta:
    return meta_pb2.PartialObjectMetadata.FromString(row.object.value).metadata
