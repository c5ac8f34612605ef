"""``kctl get --watch``: prints the objects, then every change as it comes, until the user interrupts it.

One task reads one stream. When the server ends the stream, the task opens the next one at the last revision, so it
misses nothing. A lost connection ends the command, as in kubectl.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.client.client import Client, EventType
from kubelab.kctl.documentprinters import DocumentPrinter
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.get.request import GetRequest
from kubelab.kctl.resource import ResourceTuple
from kubelab.kctl.tableprinter import TablePrinter


async def run(client: Client, request: GetRequest, *, only: bool, seconds: float | None = None) -> int:
    """Print until cancelled, or for so many seconds. ``only`` leaves out the objects that exist at the start."""
    with contextlib.suppress(TimeoutError):
        async with client.clock.timeout(seconds):
            await _run(client, request, only=only)
    return 0


async def _run(client: Client, request: GetRequest, *, only: bool) -> None:
    if len(request.selection.items) != 1:
        raise UsageProblem("you may only specify a single resource type")
    (item,) = request.selection.items
    if item.name is not None:
        await client.get_table(item.resource, item.name, item.namespace or request.namespace)  # or NotFound
        by_name = f"metadata.name={item.name}"
        field_selector = f"{request.field_selector},{by_name}" if request.field_selector else by_name
        request = replace(request, field_selector=field_selector)
    if request.printer is not None:
        await _objects(client, request, item, request.printer, only)
    else:
        await _rows(client, request, item, only)


async def _rows(client: Client, request: GetRequest, item: ResourceTuple, only: bool) -> None:
    printer = TablePrinter(request.printing, item.resource)
    namespace = item.namespace or request.namespace
    table = await client.list_table(
        item.resource, namespace, label_selector=request.label_selector, field_selector=request.field_selector
    )
    if table.rows and not only:
        print(printer.render(table, _event_column(request, EventType.ADDED)), end="", flush=True)
    async for kind, change in _changes(client, request, item, table.metadata.resourceVersion):
        print(printer.render(change, _event_column(request, kind)), end="", flush=True)


def _event_column(request: GetRequest, kind: EventType) -> str:
    return kind.value if request.watch_events else ""


async def _changes(
    client: Client, request: GetRequest, item: ResourceTuple, since: str
) -> AsyncIterator[tuple[EventType, meta_pb2.Table]]:
    while True:
        events = client.watch_table(
            item.resource,
            item.namespace or request.namespace,
            resource_version=since,
            label_selector=request.label_selector,
            field_selector=request.field_selector,
        )
        async for event in events:
            since = event.resource_version or since
            if event.object is not None:
                yield event.type, event.object


async def _objects(
    client: Client, request: GetRequest, item: ResourceTuple, printer: DocumentPrinter, only: bool
) -> None:
    namespace = item.namespace or request.namespace
    labels, fields = request.label_selector, request.field_selector
    listed = await client.list(item.resource, namespace, label_selector=labels, field_selector=fields)
    for obj in listed.items if not only else []:
        _print(obj, EventType.ADDED, request, printer)
    since = listed.resource_version
    while True:
        async for event in client.watch(
            item.resource, namespace, resource_version=since, label_selector=labels, field_selector=fields
        ):
            since = event.resource_version or since
            if event.object is not None:
                _print(event.object, event.type, request, printer)


def _print(obj: Message, kind: EventType, request: GetRequest, printer: DocumentPrinter) -> None:
    from kubelab.apimachinery.manifest import encode

    document = encode.to_dict(obj)
    if request.watch_events:
        document = {"object": document, "type": kind.value}
    print(printer.render(document), end="", flush=True)
