"""The command line of ``kctl get``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import ALL_NAMESPACES, FIELD_SELECTOR, FILENAME, RECURSIVE, SELECTOR, ResourceOptions
from kubelab.kctl.flags import Flag, UsageProblem

if TYPE_CHECKING:  # `kctl get --help` loads none of these
    from kubelab.kctl.get.request import GetRequest
    from kubelab.kctl.session import Session

FORMATS = ("json", "name", "wide", "yaml")


@dataclass(frozen=True, slots=True)
class GetOptions(ResourceOptions):
    all_namespaces: bool
    chunk_size: int
    field_selector: str
    ignore_not_found: bool
    label_columns: tuple[str, ...]
    no_headers: bool
    output: str
    show_kind: bool
    show_labels: bool
    watch: bool
    watch_only: bool


def _get(session: Session, args: tuple[str, ...], options: GetOptions) -> int:
    if options.output not in ("", *FORMATS):
        raise UsageProblem(
            f'unable to match a printer suitable for the output format "{options.output}", allowed formats are: '
            f"{','.join(FORMATS)}"
        )
    if not args and not options.filename:
        print(
            'You must specify the type of resource to get. Use "kctl api-resources" for a complete list of supported '
            "resources.\n",
            file=sys.stderr,
        )
        raise UsageProblem("Required resource not specified.", session.command_path, hint="arguments")
    from kubelab.kctl import visitor

    request = _request(session, args, options)
    if options.watch or options.watch_only:
        from kubelab.kctl.get import watch

        return session.run(lambda client: watch.run(client, request, only=options.watch_only), endless=True)
    from kubelab.kctl.get import retrieve

    return visitor.run(session, lambda client: retrieve.run(client, request))


def _request(session: Session, args: tuple[str, ...], options: GetOptions) -> GetRequest:
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
        output=options.output,
        printing=PrintOptions(
            wide=options.output == "wide",
            no_headers=options.no_headers,
            with_namespace=options.all_namespaces,
            with_kind=options.show_kind or selection.several_types,
            show_labels=options.show_labels,
            column_labels=options.label_columns,
        ),
        ignore_not_found=options.ignore_not_found,
        chunk=options.chunk_size,
    )


GET = Command(
    "get",
    run=_get,
    options=GetOptions,
    flags=(
        ALL_NAMESPACES,
        Flag(
            "--chunk-size",
            kind="int",
            default=500,
            help="Return large lists in chunks rather than all at once. Pass 0 to disable.",
        ),
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
            help="When using the default output format, don't print headers (default print headers).",
        ),
        Flag("--output", "-o", help="Output format. One of: (json, yaml, name, wide)."),
        RECURSIVE,
        SELECTOR,
        Flag("--show-kind", kind="bool", help="If present, list the resource type for the requested object(s)."),
        Flag(
            "--show-labels",
            kind="bool",
            help="When printing, show all labels as the last column (default hide labels column)",
        ),
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

# List all replication controllers and services together in ps output format
kctl get rc,services

# List one or more resources by their type and names
kctl get rc/web service/frontend pods/web-pod-13je7

# List all pods existing in all namespaces
kctl get pods --all-namespaces
""",
    usage="kctl get [(-o|--output=)json|yaml|name|wide] (TYPE [NAME | -l label] | TYPE/NAME ...) [flags]",
)
