"""``kctl events``: what happened, the oldest first, and what happens from then on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl.command import Command, unexpected
from kubelab.kctl.commonflags import ALL_NAMESPACES, ALLOW_MISSING_TEMPLATE_KEYS, OUTPUT, SHOW_MANAGED_FIELDS, TEMPLATE
from kubelab.kctl.documentprinters import DocumentPrinter, PrintFlags, printer_of
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.api.core.v1 import core_pb2
    from kubelab.client.client import Client

TYPES = {"normal": "Normal", "warning": "Warning"}


@dataclass(frozen=True, slots=True)
class EventsOptions:
    all_namespaces: bool
    allow_missing_template_keys: bool
    chunk_size: int
    for_object: str
    no_headers: bool
    output: str
    show_managed_fields: bool
    template: str
    types: tuple[str, ...]
    watch: bool


@dataclass(frozen=True, slots=True)
class EventsRequest:
    """Which events, and how they are printed; ``types`` are lower case, empty for all."""

    namespace: str
    field_selector: str
    types: frozenset[str]
    chunk: int
    printer: DocumentPrinter | None

    def wants(self, event: core_pb2.Event) -> bool:
        return not self.types or event.type.lower() in self.types


def _events(session: Session, args: tuple[str, ...], options: EventsOptions) -> int:
    unexpected(session, args)
    for kind in options.types:
        if kind.lower() not in TYPES:
            raise Failed("error: valid --types are Normal or Warning")
    flags = PrintFlags(
        options.output, options.template, options.allow_missing_template_keys, options.show_managed_fields
    )
    request = EventsRequest(
        "" if options.all_namespaces else session.namespace,
        _selector(options.for_object),
        frozenset(kind.lower() for kind in options.types),
        options.chunk_size,
        printer_of(flags) if options.output or options.template else None,
    )
    table = EventTable(session, with_namespace=options.all_namespaces, headers=not options.no_headers)
    if options.watch:
        return session.run(lambda client: _watch(client, request, table), endless=True)
    return session.run(lambda client: _list(client, request, table))


def _selector(for_object: str) -> str:
    """Give the field selector of ``--for TYPE/NAME``."""
    from kubelab.kctl import resource

    if not for_object:
        return ""
    word, slash, name = for_object.partition("/")
    if not slash or not name or "/" in name:
        raise Failed("error: --for must be in resource/name form")
    kind = resource.find(word)
    return f"involvedObject.kind={kind.kind},involvedObject.name={name}"


class EventTable:
    """Prints events as rows; a watch prints one after the other below the same header."""

    def __init__(self, session: Session, *, with_namespace: bool, headers: bool) -> None:
        from kubelab.kctl.tables import Columns

        self._clock, self._with_namespace, self._headers = session.clock, with_namespace, headers
        self._columns = Columns()

    def show(self, events: Sequence[core_pb2.Event]) -> None:
        rows: list[list[str]] = []
        if self._headers:
            self._headers = False
            rows.append(self._row("NAMESPACE", ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]))
        rows += [self._of(event) for event in events]
        sys.stdout.write(self._columns.render(rows))
        sys.stdout.flush()

    def _of(self, event: core_pb2.Event) -> list[str]:
        from kubelab.kctl.describe.events import interval

        about = f"{event.involvedObject.kind}/{event.involvedObject.name}"
        cells = [interval(event, self._clock.time()), event.type, event.reason, about, event.message.strip()]
        return self._row(event.metadata.namespace, cells)

    def _row(self, namespace: str, cells: list[str]) -> list[str]:
        return [namespace, *cells] if self._with_namespace else cells


async def _list(client: Client, request: EventsRequest, table: EventTable) -> int:
    events, _ = await _fetch(client, request)
    if request.printer is not None:
        from kubelab.apimachinery.manifest import encode

        sys.stdout.write(request.printer.render(encode.list_to_dict(events)))
    elif events:
        table.show(events)
    else:
        where = f" in {request.namespace} namespace" if request.namespace else ""
        print(f"No events found{where}.", file=sys.stderr)
    return 0


async def _watch(client: Client, request: EventsRequest, table: EventTable) -> int:
    from kubelab.apimachinery import scheme
    from kubelab.client.client import EventType

    events, since = await _fetch(client, request)
    _show(events, request, table)
    while True:
        async for change in client.watch(
            scheme.EVENTS, request.namespace, resource_version=since, field_selector=request.field_selector
        ):
            since = change.resource_version or since
            if change.object is None or change.type in (EventType.DELETED, EventType.BOOKMARK):
                continue
            if request.wants(change.object):
                _show([change.object], request, table)


def _show(events: Sequence[core_pb2.Event], request: EventsRequest, table: EventTable) -> None:
    if request.printer is None:
        table.show(events)
        return
    from kubelab.apimachinery.manifest import encode

    for event in events:
        print(request.printer.render(encode.to_dict(event)), end="", flush=True)


async def _fetch(client: Client, request: EventsRequest) -> tuple[list[core_pb2.Event], str]:
    """List the events that are wanted, in the order in which they happened last, and the revision of the list."""
    from kubelab.apimachinery import scheme
    from kubelab.kctl.describe.events import last_seen

    events: list[core_pb2.Event] = []
    token = ""
    while True:
        listed = await client.list(
            scheme.EVENTS,
            request.namespace,
            field_selector=request.field_selector,
            limit=request.chunk,
            continue_=token,
        )
        events += [event for event in listed.items if request.wants(event)]
        token = listed.continue_
        if not token:
            return sorted(events, key=last_seen), listed.resource_version


EVENTS = Command(
    "events",
    run=_events,
    options=EventsOptions,
    flags=(
        ALL_NAMESPACES,
        ALLOW_MISSING_TEMPLATE_KEYS,
        Flag(
            "--chunk-size",
            kind="int",
            default=500,
            help="Return large lists in chunks rather than all at once. Pass 0 to disable.",
        ),
        Flag("--for", "for_object", help="Filter events to only those pertaining to the specified resource."),
        Flag("--no-headers", kind="bool", help="When using the default output format, don't print headers."),
        OUTPUT,
        SHOW_MANAGED_FIELDS,
        TEMPLATE,
        Flag("--types", kind="csv", help="Output only events of given types."),
        Flag("--watch", "-w", kind="bool", help="After listing the requested events, watch for more events."),
    ),
    about="""\
Display events.

 Prints a table of the most important information about events. You can request events for a namespace, for all \
namespace, or filtered to only those pertaining to a specified resource.""",
    examples="""\
# List recent events in the default namespace
kctl events

# List recent events in all namespaces
kctl events --all-namespaces

# List recent events for the specified pod, then wait for more events and list them as they arrive
kctl events --for pod/web-pod-13je7 --watch

# List recent events in YAML format
kctl events -oyaml

# List recent only events of type 'Warning' or 'Normal'
kctl events --types=Warning,Normal""",
    usage="kctl events [(-o|--output=)json|yaml|name|go-template|jsonpath|...] [--for TYPE/NAME] [--watch] "
    "[--types=Normal,Warning]",
)
