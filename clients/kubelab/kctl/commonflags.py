"""Flags that several commands take, with kubectl's names and help, and the options that they fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.kctl.flags import Flag, UsageProblem

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
CHUNK_SIZE = Flag(
    "--chunk-size",
    kind="int",
    default=500,
    help="Return large lists in chunks rather than all at once. Pass 0 to disable.",
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
    help='Must be "none", "server", or "client". If client strategy, only print the object that would be sent, without '
    "sending it. If server strategy, submit server-side request without persisting the resource.",
)
TEMPLATE = Flag(
    "--template",
    help="Template string or path to template file to use when -o=go-template, -o=go-template-file. The template "
    "format is golang templates [http://golang.org/pkg/text/template/#pkg-overview].",
)
ALLOW_MISSING_TEMPLATE_KEYS = Flag(
    "--allow-missing-template-keys",
    kind="bool",
    default=True,
    help="If true, ignore any errors in templates when a field or map key is missing in the template. Only applies to "
    "golang and jsonpath output formats.",
)
SHOW_MANAGED_FIELDS = Flag(
    "--show-managed-fields",
    kind="bool",
    help="If true, keep the managedFields when printing objects in JSON or YAML format.",
)
TEMPLATE_FLAGS = (ALLOW_MISSING_TEMPLATE_KEYS, SHOW_MANAGED_FIELDS, TEMPLATE)
"""A command with OUTPUT has these too; their values travel in the value of OUTPUT."""
OUTPUT = Flag(
    "--output",
    "-o",
    help="Output format. One of: (json, yaml, name, go-template, go-template-file, template, templatefile, jsonpath, "
    "jsonpath-as-json, jsonpath-file).",
)
FILENAME = Flag("--filename", "-f", kind="csv", help="Filename, directory, or URL to files to use")
RECURSIVE = Flag("--recursive", "-R", kind="bool", help="Process the directory used in -f, --filename recursively.")

KUSTOMIZE = Flag(
    "--kustomize",
    "-k",
    help="Process the kustomization directory. This flag can't be used together with -f or -R. kctl builds none.",
)
VALIDATE = Flag(
    "--validate",
    default="strict",
    bare="strict",
    help='Must be one of: strict (or true), warn, ignore (or false). "true" or "strict" refuses a file with an unknown '
    'or repeated field before anything is sent; "warn" warns of such fields and leaves them out; "false" or "ignore" '
    "leaves them out silently.",
)
SAVE_CONFIG = Flag(
    "--save-config",
    kind="bool",
    help="If true, the configuration of current object will be saved in its annotation. Otherwise, the annotation will "
    "be unchanged. This flag is useful when you want to perform kctl apply on this object in the future.",
)


# Of commands that delete: apply and replace do so with --force.
CASCADE = Flag(
    "--cascade",
    default="background",
    bare="background",
    help='Must be "background", "orphan", or "foreground". Selects the deletion cascading strategy for the '
    "dependents (e.g. Pods created by a ReplicationController). Defaults to background.",
)
FORCE = Flag(
    "--force",
    kind="bool",
    help="If true, immediately remove resources from API and bypass graceful deletion. Note that immediate "
    "deletion of some resources may result in inconsistency or data loss and requires confirmation.",
)
GRACE_PERIOD = Flag(
    "--grace-period",
    kind="int",
    default=-1,
    help="Period of time in seconds given to the resource to terminate gracefully. Ignored if negative. Set "
    "to 1 for immediate shutdown. Can only be set to 0 when --force is true (force deletion).",
)
DELETE_TIMEOUT = Flag(
    "--timeout",
    kind="duration",
    help="The length of time to wait before giving up on a delete, zero means determine a timeout from the "
    "size of the object",
)
DELETE_WAIT = Flag(
    "--wait",
    kind="bool",
    help="If true, wait for resources to be gone before returning. This waits for finalizers.",
)


def require_files(filename: Sequence[str], kustomize: str) -> None:
    """Refuse no file at all, and a kustomization."""
    refuse_kustomization(filename, kustomize)
    if not filename:
        raise UsageProblem("must specify one of -f and -k")


def refuse_kustomization(filename: Sequence[str], kustomize: str, command: str = "kctl apply") -> None:
    """Say what to do with a kustomization: kctl has no library that builds one."""
    if filename and kustomize:
        raise UsageProblem("only one of -f or -k can be specified")
    if kustomize:
        raise UsageProblem(
            f"kctl builds no kustomizations; pipe what kustomize makes: kustomize build {kustomize} | {command} -f -"
        )


_VALIDATIONS = {"strict": "Strict", "true": "Strict", "warn": "Warn", "ignore": "Ignore", "false": "Ignore"}


def field_validation(value: str) -> str:
    """Read the value of VALIDATE: the ``fieldValidation`` of a request."""
    check_validate(value)
    return _VALIDATIONS[value]


def check_validate(value: str) -> None:
    """Check the value of VALIDATE."""
    if value not in _VALIDATIONS:
        raise UsageProblem(
            f'invalid - validate option "{value}"; must be one of: strict (or true), warn, ignore (or false)'
        )


def field_manager(command: str) -> Flag:
    """Make the flag; the managers have kubectl's names, so that kctl and kubectl share the fields of an object."""
    return Flag(
        "--field-manager",
        default=f"kubectl-{command}",
        help="Name of the manager used to track field ownership.",
    )


class OutputFormat(str):
    """The value of OUTPUT, with what TEMPLATE_FLAGS say of the format."""

    template: str
    allow_missing_keys: bool
    show_managed_fields: bool

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> OutputFormat:
        """Read the flags' values; a template without a format is Go's."""
        template: str = params["template"]
        made = cls(params["output"] or ("go-template" if template else ""))
        made.template = template
        made.allow_missing_keys = params["allow_missing_template_keys"]
        made.show_managed_fields = params["show_managed_fields"]
        return made


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


GENERATE_FLAGS = (DRY_RUN, field_manager("create"), OUTPUT, SAVE_CONFIG, VALIDATE)


@dataclass(frozen=True, slots=True)
class GenerateOptions(CreateOptions):
    """The values of GENERATE_FLAGS: of a command that creates one object from its flags."""

    field_manager: str
    save_config: bool
    validate: str
