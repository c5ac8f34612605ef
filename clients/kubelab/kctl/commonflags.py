"""Flags that several commands take, with kubectl's names and help, and the options that they fill."""

from __future__ import annotations

from dataclasses import dataclass

from kubelab.kctl.flags import Flag

ALL_NAMESPACES = Flag(
    "--all-namespaces",
    "-A",
    kind="bool",
    help="If present, list the requested object(s) across all namespaces. Namespace in current context is ignored even "
    "if specified with --namespace.",
)
SELECTOR = Flag(
    "--selector",
    "-l",
    kind="selector",
    help="Selector (label query) to filter on, supports '=', '==', '!=', 'in' and 'notin'.(e.g. -l key1=value1,key2="
    "value2). Matching objects must satisfy all of the specified label constraints.",
)
FIELD_SELECTOR = Flag(
    "--field-selector",
    kind="selector",
    help="Selector (field query) to filter on, supports '=', '==', and '!='.(e.g. --field-selector key1=value1,key2="
    "value2). The server only supports a limited number of field queries per type.",
)
DRY_RUN = Flag(
    "--dry-run",
    default="none",
    bare="unchanged",
    help='Must be "none" or "client". If client, only print the object that would be sent, without sending it.',
)
OUTPUT = Flag(
    "--output",
    "-o",
    help="Output format. One of: (json, yaml, name, go-template, go-template-file, template, templatefile, jsonpath, "
    "jsonpath-as-json, jsonpath-file).",
)
FILENAME = Flag("--filename", "-f", kind="csv", help="Filename, directory, or URL to files to use")
RECURSIVE = Flag("--recursive", "-R", kind="bool", help="Process the directory used in -f, --filename recursively.")


def field_manager(command: str) -> Flag:
    """Make the flag; the managers have kubectl's names, so that kctl and kubectl share the fields of an object."""
    return Flag(
        "--field-manager",
        default=f"kubectl-{command}",
        help="Name of the manager used to track field ownership.",
    )


@dataclass(frozen=True, slots=True)
class FilenameOptions:
    """The values of FILENAME and RECURSIVE (cli-runtime's ``resource.FilenameOptions``)."""

    filename: tuple[str, ...]
    recursive: bool


@dataclass(frozen=True, slots=True)
class ResourceOptions(FilenameOptions):
    """The values of FILENAME, RECURSIVE and SELECTOR: which resources a command acts on, besides its arguments."""

    selector: str


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """The values of DRY_RUN and OUTPUT."""

    dry_run: str
    output: str
