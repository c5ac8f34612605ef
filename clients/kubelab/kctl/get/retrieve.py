"""``kctl get`` without ``--watch``: retrieves what was asked for and prints it, as tables or as whole objects."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import scheme
from kubelab.client.client import Client
from kubelab.kctl.documentprinters import DocumentPrinter, document_of
from kubelab.kctl.get.request import GetRequest
from kubelab.kctl.listing import explained
from kubelab.kctl.resource import ResourceTuple
from kubelab.kctl.tableprinter import TablePrinter
from kubelab.kctl.visitor import Errors, continue_on_error


async def run(client: Client, request: GetRequest) -> Errors:
    """Print what the server gives, and return the errors of the rest."""
    if request.printer is not None:
        return await _objects(client, request, request.printer)
    return await _tables(client, request)


async def _tables(client: Client, request: GetRequest) -> Errors:
    printed = False
    printer: TablePrinter | None = None
    pending = meta_pb2.Table()

    def flush() -> None:
        nonlocal printed
        if printer is not None and pending.rows:
            between = "\n" if printed and not request.printing.no_headers else ""
            print(between + printer.render(pending), end="")
            printed = True

    async def visit(item: ResourceTuple) -> None:
        nonlocal printer, pending
        table = await _table(client, request, item)
        if printer is not None and printer.resource is item.resource:
            pending.rows.extend(table.rows)
        else:
            flush()
            printer, pending = TablePrinter(request.printing, item.resource), table

    failed = await continue_on_error(request.selection.items, visit, ignore_not_found=request.ignore_not_found)
    flush()
    if not printed and not failed and not request.ignore_not_found:
        anywhere = request.all_namespaces or not all(item.resource.namespaced for item in request.selection.items)
        where = "" if anywhere else f" in {request.namespace} namespace."
        print(f"No resources found{where}", file=sys.stderr)
    return failed


async def _table(client: Client, request: GetRequest, item: ResourceTuple) -> meta_pb2.Table:
    namespace = item.namespace or request.namespace
    if item.name is not None:
        return await client.get_table(item.resource, item.name, namespace, subresource=request.subresource)
    whole = meta_pb2.Table()
    continue_ = ""
    while True:
        with explained(item.resource, request.label_selector, request.field_selector):
            part = await client.list_table(
                item.resource,
                namespace,
                label_selector=request.label_selector,
                field_selector=request.field_selector,
                limit=request.chunk,
                continue_=continue_,
                include_object=request.include_object,
            )
        if not continue_:
            whole = part
        else:
            whole.rows.extend(part.rows)
        continue_ = getattr(part.metadata, "continue")
        if not continue_:
            return _sorted(whole, request.sort_by)


def _sorted(table: meta_pb2.Table, field: str) -> meta_pb2.Table:
    """Sort a table's rows by a field of their objects; a table of one row stays as it is."""
    if not field or len(table.rows) < 2:
        return table
    from kubelab.kctl.sorting import sort_by

    rows = sort_by(table.rows, field, _document_of)
    ordered = meta_pb2.Table(metadata=table.metadata, columnDefinitions=table.columnDefinitions)
    ordered.rows.extend(rows)
    return ordered


def _document_of(row: meta_pb2.TableRow) -> dict[str, Any]:
    """Give the object of a row as JSON has it."""
    from kubelab.apimachinery.manifest import encode

    resource = scheme.by_type_url(row.object.type_url)
    return encode.to_dict(resource.message.FromString(row.object.value)) if resource else {}


async def _objects(client: Client, request: GetRequest, printer: DocumentPrinter) -> Errors:
    from kubelab.apimachinery.manifest import encode

    objects: list[Message] = []

    async def visit(item: ResourceTuple) -> None:
        objects.extend([obj async for obj in _fetch(client, request, item)])

    failed = await continue_on_error(request.selection.items, visit, ignore_not_found=request.ignore_not_found)
    single = len(request.selection.items) == 1 and request.selection.named
    if objects or not (failed or single):
        document = document_of(objects[0]) if single and objects else encode.list_to_dict(objects)
        if request.sort_by and document.get("kind") == "List" and document["items"]:
            from kubelab.kctl.sorting import sort_by

            document["items"] = sort_by(document["items"], request.sort_by, _itself)
        print(printer.render(document), end="")
    return failed


def _itself(document: dict[str, Any]) -> dict[str, Any]:
    return document


async def _fetch(client: Client, request: GetRequest, item: ResourceTuple) -> AsyncIterator[Message]:
    """Yield the objects of one item of the selection."""
    namespace = item.namespace or request.namespace
    if item.name is not None:
        if request.subresource:
            yield await client.get_subresource(item.resource, item.name, namespace, request.subresource)
        else:
            yield await client.get(item.resource, item.name, namespace)
        return
    pages = client.pages(
        item.resource,
        namespace,
        label_selector=request.label_selector,
        field_selector=request.field_selector,
        chunk=request.chunk,
    )
    with explained(item.resource, request.label_selector, request.field_selector):
        async for page in pages:
            for obj in page.items:
                yield obj
