"""``kctl config``: which clusters this machine knows, and which one is meant."""

from __future__ import annotations

import sys

import click

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl import tables
from kubelab.kctl.command import Command, Entry, unexpected
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed, Session


@click.pass_context
def _view(ctx: click.Context, args: tuple[str, ...], raw: bool, output: str, **_: object) -> int:
    from kubelab.apimachinery.manifest import encode

    session: Session = ctx.obj
    unexpected(ctx, args)
    if output not in ("", "yaml", "json"):
        raise UsageProblem(f'unable to match a printer suitable for the output format "{output}"')
    document = session.kubeconfig.document if raw else session.kubeconfig.redacted()
    ordered = dict(sorted(document.items()))
    print(encode.to_json(ordered) if output == "json" else encode.to_yaml(ordered), end="")
    return 0


@click.pass_context
def _current_context(ctx: click.Context, args: tuple[str, ...], **_: object) -> int:
    session: Session = ctx.obj
    unexpected(ctx, args)
    if not session.kubeconfig.current_context:
        raise Failed("error: current-context is not set")
    print(session.kubeconfig.current_context)
    return 0


@click.pass_context
def _use_context(ctx: click.Context, args: tuple[str, ...], **_: object) -> int:
    session: Session = ctx.obj
    if len(args) != 1:
        raise UsageProblem(f"Unexpected args: [{' '.join(args)}]", ctx.command_path, hint="arguments")
    if session.kubeconfig.current_context != args[0]:
        session.rules.use_context(args[0])
    print(f'Switched to context "{args[0]}".')
    return 0


@click.pass_context
def _get_contexts(ctx: click.Context, args: tuple[str, ...], no_headers: bool, output: str, **_: object) -> int:
    session: Session = ctx.obj
    config = session.kubeconfig
    found = [c for c in config.contexts() if not args or c.name in args]
    if output not in ("", "name"):
        raise UsageProblem(f"--output {output} is not available in kctl config get-contexts; it is 'name' or nothing")
    if output == "name":
        print("".join(f"{escaped(c.name)}\n" for c in found), end="")
    else:
        rows = [] if no_headers else [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
        current = config.current_context
        rows += [["*" if c.name == current else "", c.name, c.cluster, c.user, c.namespace] for c in found]
        sys.stdout.write(tables.render(rows))
    missing = [name for name in args if name not in {c.name for c in found}]
    for name in missing:
        print(f"error: context {name} not found", file=sys.stderr)
    return 1 if missing else 0


VIEW = Command(
    "view",
    callback=_view,
    flags=(
        Flag("--output", "-o", default="yaml", help="Output format. One of: (json, yaml)."),
        Flag("--raw", kind="bool", help="Display raw byte data and sensitive data"),
    ),
    about="Display kubeconfig settings. Certificates and keys are left out, if not asked for with --raw.",
    usage="kctl config view",
)
CURRENT_CONTEXT = Command(
    "current-context",
    callback=_current_context,
    about="Display the current-context.",
    usage="kctl config current-context",
)
USE_CONTEXT = Command(
    "use-context",
    callback=_use_context,
    about="Set the current-context in a kubeconfig file.",
    usage="kctl config use-context CONTEXT_NAME",
)
GET_CONTEXTS = Command(
    "get-contexts",
    callback=_get_contexts,
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
        Entry("current-context", "Display the current-context", "config:CURRENT_CONTEXT"),
        Entry("get-contexts", "Describe one or many contexts", "config:GET_CONTEXTS"),
        Entry("use-context", "Set the current-context in a kubeconfig file", "config:USE_CONTEXT"),
        Entry("view", "Display kubeconfig settings", "config:VIEW"),
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
