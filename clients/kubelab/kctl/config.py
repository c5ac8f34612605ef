"""``kctl config``: shows the kubeconfig's contexts and chooses one."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import tables
from kubelab.kctl.command import Command, CommandEntry, NoOptions, unexpected
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed, Session


@dataclass(frozen=True, slots=True)
class ViewOptions:
    output: str
    raw: bool


@dataclass(frozen=True, slots=True)
class GetContextsOptions:
    no_headers: bool
    output: str


def _view(session: Session, args: tuple[str, ...], options: ViewOptions) -> int:
    from kubelab.apimachinery.manifest import encode

    unexpected(session, args)
    if options.output not in ("", "yaml", "json"):
        raise UsageProblem(f'unable to match a printer suitable for the output format "{options.output}"')
    document = session.kubeconfig.document if options.raw else session.kubeconfig.redacted()
    ordered = dict(sorted(document.items()))
    print(encode.to_json(ordered) if options.output == "json" else encode.to_yaml(ordered), end="")
    return 0


def _current_context(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    unexpected(session, args)
    if not session.kubeconfig.current_context:
        raise Failed("error: current-context is not set")
    print(session.kubeconfig.current_context)
    return 0


def _use_context(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    if len(args) != 1:
        raise UsageProblem(f"Unexpected args: [{' '.join(args)}]", session.command_path, hint="arguments")
    if session.kubeconfig.current_context != args[0]:
        session.rules.use_context(args[0])
    print(f'Switched to context "{args[0]}".')
    return 0


def _get_contexts(session: Session, args: tuple[str, ...], options: GetContextsOptions) -> int:
    config = session.kubeconfig
    contexts = [c for c in config.contexts() if not args or c.name in args]
    if options.output not in ("", "name"):
        raise UsageProblem(
            f"--output {options.output} is not available in kctl config get-contexts; it is 'name' or nothing"
        )
    if options.output == "name":
        print("".join(f"{escaped(c.name)}\n" for c in contexts), end="")
    else:
        rows = [] if options.no_headers else [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
        current = config.current_context
        rows += [["*" if c.name == current else "", c.name, c.cluster, c.user, c.namespace] for c in contexts]
        sys.stdout.write(tables.render(rows))
    missing = [name for name in args if name not in {c.name for c in contexts}]
    for name in missing:
        print(f"error: context {name} not found", file=sys.stderr)
    return 1 if missing else 0


VIEW = Command(
    "view",
    run=_view,
    options=ViewOptions,
    flags=(
        Flag("--output", "-o", default="yaml", help="Output format. One of: (json, yaml)."),
        Flag("--raw", kind="bool", help="Display raw byte data and sensitive data"),
    ),
    about="Display kubeconfig settings. Certificates and keys are left out, if not asked for with --raw.",
    usage="kctl config view",
)
CURRENT_CONTEXT = Command(
    "current-context",
    run=_current_context,
    options=NoOptions,
    about="Display the current-context.",
    usage="kctl config current-context",
)
USE_CONTEXT = Command(
    "use-context",
    run=_use_context,
    options=NoOptions,
    about="Set the current-context in a kubeconfig file.",
    usage="kctl config use-context CONTEXT_NAME",
)
GET_CONTEXTS = Command(
    "get-contexts",
    run=_get_contexts,
    options=GetContextsOptions,
    flags=(
        Flag("--no-headers", kind="bool", help="When using the default output format, don't print headers."),
        Flag("--output", "-o", help="Output format. One of: (name)."),
    ),
    about="Display one or many contexts from the kubeconfig file.",
    usage="kctl config get-contexts [(-o|--output=)name)]",
)
CONFIG = Command(
    "config",
    children=(
        CommandEntry("current-context", "Display the current-context", "config:CURRENT_CONTEXT"),
        CommandEntry("get-contexts", "Describe one or many contexts", "config:GET_CONTEXTS"),
        CommandEntry("use-context", "Set the current-context in a kubeconfig file", "config:USE_CONTEXT"),
        CommandEntry("view", "Display kubeconfig settings", "config:VIEW"),
    ),
    about=(
        'Modify kubeconfig files using subcommands like "kctl config use-context my-context".\n\n'
        " The loading order follows these rules:\n\n"
        "  1.  If the --kubeconfig flag is set, then only that file is loaded. The flag may only be set once and no "
        "merging takes place.\n"
        "  2.  If $KUBECONFIG environment variable is set, then it is used as a list of paths (normal path delimiting "
        "rules for your system). These paths are merged.\n"
        "  3.  Otherwise, ${HOME}/.kube/config is used and no merging takes place."
    ),
    usage="kctl config SUBCOMMAND",
)
