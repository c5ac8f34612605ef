"""The command line of ``kctl get``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import (
    ALL_NAMESPACES,
    ALLOW_MISSING_TEMPLATE_KEYS,
    CHUNK_SIZE,
    FIELD_SELECTOR,
    FILENAME,
    RECURSIVE,
    SELECTOR,
    SHOW_MANAGED_FIELDS,
    TEMPLATE,
    ResourceOptions,
)
from kubelab.kctl.flags import Flag, UsageProblem

if TYPE_CHECKING:  # `kctl get --help` loads none of these
    from kubelab.kctl.documentprinters import DocumentPrinter
    from kubelab.kctl.get.request import GetRequest
    from kubelab.kctl.session import Session

FORMATS = (
    "json, yaml, name, go-template, go-template-file, template, templatefile, jsonpath, jsonpath-as-json, "
    "jsonpath-file, custom-columns, custom-columns-file, wide"
)


@dataclass(frozen=True, slots=True)
class GetOptions(ResourceOptions):
    all_namespaces: bool
    allow_missing_template_keys: bool
    chunk_size: int
    field_selector: str
    ignore_not_found: bool
    label_columns: tuple[str, ...]
    no_headers: bool
    output: str
    output_watch_events: bool
    raw: str
    server_print: bool
    show_kind: bool
    show_labels: bool
    show_managed_fields: bool
    sort_by: str
    subresource: str
    template: str
    watch: bool
    watch_only: bool


def _get(session: Session, args: tuple[str, ...], options: GetOptions) -> int:
    watching = options.watch or options.watch_only
    if options.raw:
        return _raw(session, args, options)
    _check(options, watching)
    printer = _printer(options)
    if not args and not options.filename:
        print(
            'You must specify the type of resource to get. Use "kctl api-resources" for a complete list of supported '
            "resources.\n",
            file=sys.stderr,
        )
        raise UsageProblem(
            'Required resource not specified.\nUse "kctl explain <resource>" for a detailed description of that '
            "resource (e.g. kctl explain pods).",
            session.command_path,
            hint="arguments",
        )
    from kubelab.kctl import visitor

    request = _request(session, args, options, printer)
    if options.subresource and any(item.name is None for item in request.selection.items):
        raise UsageProblem("subresource cannot be used when bulk resources are specified")
    if watching:
        from kubelab.kctl.get import watch

        seconds = session.request_seconds()
        return session.run(
            lambda client: watch.run(client, request, only=options.watch_only, seconds=seconds), endless=True
        )
    from kubelab.kctl.get import retrieve

    return visitor.run(session, lambda client: retrieve.run(client, request))


def _check(options: GetOptions, watching: bool) -> None:
    """Refuse flags that contradict each other, in kubectl's words."""
    if options.show_labels and options.output and options.output != "wide":
        raise UsageProblem(f"--show-labels option cannot be used with {options.output} printer")
    if options.output_watch_events and not watching:
        raise UsageProblem("--output-watch-events option can only be used with --watch or --watch-only")
    if watching and options.sort_by:
        print("warning: --watch requested, --sort-by will be ignored for watch events received", file=sys.stderr)


def _raw(session: Session, args: tuple[str, ...], options: GetOptions) -> int:
    if args:
        raise UsageProblem("arguments may not be passed when --raw is specified")
    if options.filename or options.watch or options.watch_only or options.selector or options.all_namespaces:
        raise UsageProblem(
            "--raw may not be specified with other flags that filter the server request or alter the output"
        )
    if options.output:
        raise UsageProblem("--raw and --output are mutually exclusive")
    from kubelab.kctl.get import raw

    return raw.run(session, options.raw)


def _printer(options: GetOptions) -> DocumentPrinter | None:
    """Make the printer of whole objects; None where the server's tables are printed."""
    if options.output in ("", "wide") and not options.template:
        return None
    from kubelab.kctl.documentprinters import PrintFlags, printer_of

    flags = PrintFlags(
        options.output,
        options.template,
        options.allow_missing_template_keys,
        options.show_managed_fields,
        options.no_headers,
    )
    return printer_of(flags, also=("wide",), columns=True)


def _request(
    session: Session, args: tuple[str, ...], options: GetOptions, printer: DocumentPrinter | None
) -> GetRequest:
    from kubelab.kctl import builder
    from kubelab.kctl.get.request import GetRequest
    from kubelab.kctl.tableprinter import PrintOptions

    selection = builder.build(
        session,
        args,
        options,
        selecting=bool(options.selector or options.field_selector),
        all_namespaces=options.all_namespaces,
        whole_types=True,
    )
    return GetRequest(
        selection=selection,
        namespace="" if options.all_namespaces else session.namespace,
        all_namespaces=options.all_namespaces,
        label_selector=options.selector,
        field_selector=options.field_selector,
        printer=printer,
        printing=PrintOptions(
            wide=options.output == "wide",
            no_headers=options.no_headers,
            with_namespace=options.all_namespaces,
            with_kind=options.show_kind or selection.several_types,
            show_labels=options.show_labels,
            column_labels=options.label_columns,
        ),
        ignore_not_found=options.ignore_not_found,
        chunk=0 if options.sort_by else options.chunk_size,
        sort_by=options.sort_by,
        subresource=options.subresource,
        watch_events=options.output_watch_events,
    )


GET = Command(
    "get",
    run=_get,
    options=GetOptions,
    flags=(
        ALL_NAMESPACES,
        ALLOW_MISSING_TEMPLATE_KEYS,
        CHUNK_SIZE,
        FIELD_SELECTOR,
        FILENAME,
        Flag(
            "--ignore-not-found",
            kind="bool",
            help="If the requested object does not exist the command will return exit code 0.",
        ),
        Flag(
            "--label-columns",
            "-L",
            kind="csv",
            help="Accepts a comma separated list of labels that are going to be presented as columns. Names are "
            "case-sensitive. You can also use multiple flag options like -L label1 -L label2...",
        ),
        Flag(
            "--no-headers",
            kind="bool",
            help="When using the default or custom-column output format, don't print headers (default print headers).",
        ),
        Flag(
            "--output",
            "-o",
            help=f"Output format. One of: ({FORMATS}). See custom columns "
            "[https://kubernetes.io/docs/reference/kubectl/#custom-columns], golang template "
            "[http://golang.org/pkg/text/template/#pkg-overview] and jsonpath template "
            "[https://kubernetes.io/docs/reference/kubectl/jsonpath/].",
        ),
        Flag(
            "--output-watch-events",
            kind="bool",
            help="Output watch event objects when --watch or --watch-only is used. Existing objects are output as "
            "initial ADDED events.",
        ),
        Flag("--raw", help="Raw URI to request from the server."),
        RECURSIVE,
        SELECTOR,
        Flag(
            "--server-print",
            kind="bool",
            default=True,
            help="If true, have the server return the appropriate table output. kctl knows no other tables.",
        ),
        Flag("--show-kind", kind="bool", help="If present, list the resource type for the requested object(s)."),
        Flag(
            "--show-labels",
            kind="bool",
            help="When printing, show all labels as the last column (default hide labels column)",
        ),
        SHOW_MANAGED_FIELDS,
        Flag(
            "--sort-by",
            help="If non-empty, sort list types using this field specification.  The field specification is expressed "
            "as a JSONPath expression (e.g. '{.metadata.name}'). The field in the API resource specified by this "
            "JSONPath expression must be an integer or a string.",
        ),
        Flag("--subresource", help="If specified, gets the subresource of the requested object."),
        TEMPLATE,
        Flag(
            "--watch",
            "-w",
            kind="bool",
            help="After listing/getting the requested object, watch for changes.",
        ),
        Flag(
            "--watch-only",
            kind="bool",
            help="Watch for changes to the requested object(s), without listing/getting first.",
        ),
    ),
    about="""\
Display one or many resources.

 Prints a table of the most important information about the specified resources. You can filter the list using a label \
selector and the --selector flag. If the desired resource type is namespaced you will only see results in the current \
namespace if you don't specify any namespace.

Use "kctl api-resources" for a complete list of supported resources.""",
    examples="""\
# List all pods in ps output format
kctl get pods

# List all pods in ps output format with more information (such as node name)
kctl get pods -o wide

# List a single replication controller with specified NAME in ps output format
kctl get replicationcontroller web

# List a single pod in JSON output format
kctl get -o json pod web-pod-13je7

# Return only the phase value of the specified pod
kctl get -o template pod/web-pod-13je7 --template={{.status.phase}}

# List resource information in custom columns
kctl get pod test -o custom-columns=CONTAINER:.spec.containers[0].name,IMAGE:.spec.containers[0].image

# List pods by the time of their creation
kctl get pods --sort-by=.metadata.creationTimestamp

# List all replication controllers and services together in ps output format
kctl get rc,services

# List one or more resources by their type and names
kctl get rc/web service/frontend pods/web-pod-13je7

# List the 'status' subresource for a single pod
kctl get pod web-pod-13je7 --subresource status

# List all pods existing in all namespaces
kctl get pods --all-namespaces
""",
    usage="kctl get [(-o|--output=)json|yaml|name|go-template|go-template-file|template|templatefile|jsonpath|"
    "jsonpath-as-json|jsonpath-file|custom-columns|custom-columns-file|wide] (TYPE [NAME | "
    "-l label] | TYPE/NAME ...) [flags]",
)
