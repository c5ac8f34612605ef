"""``kctl get -w``: what is there, then every change as it comes, until the user has seen enough.

One task: it reads one stream. A stream that the server ends is taken up again where it ended, so nothing is missed;
a server that is gone ends the command, as kubectl does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.client.client import Client
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.get import Request
from kubelab.kctl.showing import Sheet, render
from kubelab.kctl.targets import Target


async def run(client: Client, request: Request, *, only: bool) -> int:
    """Print until cancelled. ``only`` leaves out what is there at the start."""
    if len(request.targets.items) != 1:
        raise UsageProblem("you may only specify a single resource type")
    (target,) = request.targets.items
    if target.name is not None:
        await client.get_table(target.resource, target.name, target.namespace or request.namespace)  # or NotFound
        chosen = f"metadata.name={target.name}"
        field_selector = f"{request.field_selector},{chosen}" if request.field_selector else chosen
        request = replace(request, field_selector=field_selector)
    if request.as_objects:
        await _objects(client, request, target, only)
    else:
        await _rows(client, request, target, only)
    return 0


async def _rows(client: Client, request: Request, target: Target, only: bool) -> None:
    sheet = Sheet(request, target.resource)
    namespace = target.namespace or request.namespace
    table = await client.list_table(
        target.resource, namespace, label_selector=request.label_selector, field_selector=request.field_selector
    )
    if table.rows and not only:
        print(sheet.render(table), end="", flush=True)
    async for change in _changes(client, request, target, table.metadata.resourceVersion):
        print(sheet.render(change), end="", flush=True)


async def _changes(client: Client, request: Request, target: Target, since: str) -> AsyncIterator[meta_pb2.Table]:
    while True:
        events = client.watch_table(
            target.resource,
            target.namespace or request.namespace,
            resource_version=since,
            label_selector=request.label_selector,
            field_selector=request.field_selector,
        )
        async for event in events:
            since = event.resource_version or since
            if event.object is not None:
                yield event.object


async def _objects(client: Client, request: Request, target: Target, only: bool) -> None:
    namespace = target.namespace or request.namespace
    labels, fields = request.label_selector, request.field_selector
    there = await client.list(target.resource, namespace, label_selector=labels, field_selector=fields)
    printed = 0
    for obj in there.items if not only else []:
        _print(obj, request.output, printed)
        printed += 1
    since = there.resource_version
    while True:
        async for event in client.watch(
            target.resource, namespace, resource_version=since, label_selector=labels, field_selector=fields
        ):
            since = event.resource_version or since
            if event.object is not None:
                _print(event.object, request.output, printed)
                printed += 1


def _print(obj: Message, output: str, before: int) -> None:
    separator = "---\n" if output == "yaml" and before else ""
    print(separator + render([obj], output, single=True), end="", flush=True)
