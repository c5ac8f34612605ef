"""``kctl config``: the commands for contexts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from kubelab.apimachinery.terminal import escaped
from kubelab.client.kubeconfig import Kubeconfig
from kubelab.kctl import tables
from kubelab.kctl.command import Command, NoOptions
from kubelab.kctl.config.entries import delete_entry, exact, loaded
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed, Session

NO_HEADERS = Flag(
    "--no-headers",
    kind="bool",
    help="When using the default or custom-column output format, don't print headers (default print headers).",
)


@dataclass(frozen=True, slots=True)
class GetContextsOptions:
    no_headers: bool
    output: str


@dataclass(frozen=True, slots=True)
class SetContextOptions:
    cluster: str
    current: bool
    namespace: str
    user: str


def _current_context(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    current = loaded(session).current_context
    if not current:
        raise Failed("error: current-context is not set")
    print(current)
    return 0


def _use_context(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    exact(session, args, 1)
    config = loaded(session)
    config.use_context(args[0])  # refuses one that there is not
    session.rules.use_context(args[0])
    print(f'Switched to context "{args[0]}".')
    return 0


def _get_contexts(session: Session, args: tuple[str, ...], options: GetContextsOptions) -> int:
    if options.output not in ("", "name"):
        raise UsageProblem(
            f"--output {options.output} is not available in kctl config get-contexts; resetting to default output "
            "format"
        )
    config = loaded(session)
    contexts = [c for c in config.contexts() if not args or c.name in args]
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


def _set_context(session: Session, args: tuple[str, ...], options: SetContextOptions) -> int:
    if len(args) > 1:
        exact(session, args, 1)
    if options.current and args:
        raise UsageProblem("you cannot specify both a context name and --current")
    if not options.current and not "".join(args):
        raise UsageProblem("you must specify a non-empty context name or --current")
    config = loaded(session)
    name = config.current_context if options.current else "".join(args)
    if not name:
        raise Failed("error: no current context is set")
    existed = config.entry("contexts", name) is not None

    def change(body: dict[str, Any]) -> None:
        body.setdefault("cluster", "")
        body.setdefault("user", "")
        for key in ("cluster", "namespace", "user"):
            if session.line.changed(key):
                body[key] = getattr(options, key)
        if not body.get("namespace"):
            body.pop("namespace", None)

    session.rules.edit_entry("contexts", name, change)
    print(f'Context "{name}" {"modified" if existed else "created"}.')
    return 0


def _rename_context(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    exact(session, args, 2)
    old, new = args
    config, file = loaded(session), session.rules.file_of("contexts", old)
    if file is None:
        raise Failed(f'error: cannot rename the context "{old}", it\'s not in {session.rules.default_file}')
    if config.entry("contexts", new) is not None:
        raise Failed(f'error: cannot rename the context "{old}", the context "{new}" already exists in {file}')
    body = config.entry("contexts", old) or {}
    session.rules.edit_entry("contexts", new, lambda entry: entry.update(body))
    session.rules.remove_entry("contexts", old)

    def follow(edited: Kubeconfig) -> None:
        if edited.current_context == old:
            edited.document["current-context"] = new

    session.rules.edit(follow, every=True)
    print(f'Context "{old}" renamed to "{new}".')
    return 0


CURRENT_CONTEXT = Command(
    "current-context",
    run=_current_context,
    options=NoOptions,
    about="Display the current-context.",
    examples="# Display the current-context\nkctl config current-context",
    usage="kctl config current-context",
)
USE_CONTEXT = Command(
    "use-context",
    run=_use_context,
    options=NoOptions,
    about="Set the current-context in a kubeconfig file.",
    examples="# Use the context for the minikube cluster\nkctl config use-context minikube",
    usage="kctl config use-context CONTEXT_NAME",
)
GET_CONTEXTS = Command(
    "get-contexts",
    run=_get_contexts,
    options=GetContextsOptions,
    flags=(NO_HEADERS, Flag("--output", "-o", help="Output format. One of: (name).")),
    about="Display one or many contexts from the kubeconfig file.",
    examples="""\
# List all the contexts in your kubeconfig file
kctl config get-contexts

# Describe one context in your kubeconfig file
kctl config get-contexts my-context""",
    usage="kctl config get-contexts [(-o|--output=)name)]",
)
SET_CONTEXT = Command(
    "set-context",
    run=_set_context,
    options=SetContextOptions,
    flags=(
        Flag("--cluster", help="cluster for the context entry in kubeconfig"),
        Flag("--current", kind="bool", help="Modify the current context"),
        Flag("--namespace", "-n", help="namespace for the context entry in kubeconfig"),
        Flag("--user", help="user for the context entry in kubeconfig"),
    ),
    about="Set a context entry in kubeconfig.\n\n Specifying a name that already exists will merge new fields on top "
    "of existing values for those fields.",
    examples="""\
# Set the user field on the gce context entry without touching other values
kctl config set-context gce --user=cluster-admin""",
    usage="kctl config set-context [NAME | --current] [--cluster=cluster_nickname] [--user=user_nickname] "
    "[--namespace=namespace]",
)
RENAME_CONTEXT = Command(
    "rename-context",
    run=_rename_context,
    options=NoOptions,
    about="Renames a context from the kubeconfig file.\n\n"
    " CONTEXT_NAME is the context name that you want to change.\n\n"
    " NEW_NAME is the new name you want to set.\n\n Note: If the context being renamed is the 'current-context', this "
    "field will also be updated.",
    examples="""\
# Rename the context 'old-name' to 'new-name' in your kubeconfig file
kctl config rename-context old-name new-name""",
    usage="kctl config rename-context CONTEXT_NAME NEW_NAME",
)
DELETE_CONTEXT = Command(
    "delete-context",
    run=delete_entry("contexts"),
    options=NoOptions,
    about="Delete the specified context from the kubeconfig.",
    examples="# Delete the context for the minikube cluster\nkctl config delete-context minikube",
    usage="kctl config delete-context NAME",
)
