"""``kctl get`` without ``--watch``: retrieves what was asked for and prints it, as tables or as whole objects."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.client.client import Client
from kubelab.kctl.get.request import GetRequest
from kubelab.kctl.listing import explained
from kubelab.kctl.printers import render_objects
from kubelab.kctl.resource import ResourceTuple
from kubelab.kctl.tableprinter import TablePrinter
from kubelab.kctl.visitor import Errors, continue_on_error


async def run(client: Client, request: GetRequest) -> Errors:
    """Print what the server gives, and return the errors of the rest."""
    if request.as_objects:
        return await _objects(client, request)
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
        return await client.get_table(item.resource, item.name, namespace)
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
            )
        if not continue_:
            whole = part
        else:
            whole.rows.extend(part.rows)
        continue_ = getattr(part.metadata, "continue")
        if not continue_:
            return whole


async def _objects(client: Client, request: GetRequest) -> Errors:
    objects: list[Message] = []

    async def visit(item: ResourceTuple) -> None:
        objects.extend([obj async for obj in _fetch(client, request, item)])

    failed = await continue_on_error(request.selection.items, visit, ignore_not_found=request.ignore_not_found)
    single = len(request.selection.items) == 1 and request.selection.named
    if objects or not (failed or single):
        print(render_objects(objects, request.output, single=single), end="")
    return failed


async def _fetch(client: Client, request: GetRequest, item: ResourceTuple) -> AsyncIterator[Message]:
    """Yield the objects of one item of the selection."""
    namespace = item.namespace or request.namespace
    if item.name is not None:
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
