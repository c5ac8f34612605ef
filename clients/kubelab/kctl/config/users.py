"""``kctl config``: the commands for users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.apimachinery.terminal import escaped
from kubelab.kctl.command import Command, NoOptions
from kubelab.kctl.config.clusters import EMBED_CERTS, embedded, put, remove
from kubelab.kctl.config.entries import delete_entry, print_names
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Session

MODES = ("IfAvailable", "Never", "Always")


@dataclass(frozen=True, slots=True)
class SetCredentialsOptions:
    auth_provider: str
    auth_provider_arg: tuple[str, ...]
    client_certificate: str
    client_key: str
    embed_certs: bool
    exec_api_version: str
    exec_arg: tuple[str, ...]
    exec_command: str
    exec_env: tuple[str, ...]
    exec_interactive_mode: str
    exec_provide_cluster_info: bool
    password: str
    token: str
    username: str


def _set_credentials(session: Session, args: tuple[str, ...], options: SetCredentialsOptions) -> int:
    if len(args) != 1:
        raise UsageProblem(f"unexpected args: [{' '.join(args)}]", session.command_path, hint="arguments")
    _check(options)
    added, removed = _pairs(options.auth_provider_arg, "auth-provider-arg")
    env_added, env_removed = _pairs(options.exec_env, "exec-env")
    files = {
        key: embedded(key, file, embed=options.embed_certs)
        for key, file in (("client-certificate", options.client_certificate), ("client-key", options.client_key))
    }
    changed = session.line.changed

    def change(body: dict[str, Any]) -> None:
        for key, content in files.items():
            if changed(key):
                remove(body, key)
                body.update(content)
        if options.auth_provider:
            body["auth-provider"] = {"config": {}, "name": options.auth_provider}
        provider: dict[str, Any] | None = body.get("auth-provider")
        if provider and (added or removed):
            config = {**(provider.get("config") or {}), **added}
            provider["config"] = {key: config[key] for key in config if key not in removed}
        _change_exec(body, options, changed("exec-provide-cluster-info"), env_added, env_removed)
        if changed("token"):
            _only(body, "token", ("username", "password"), options.token)
        for key in ("username", "password"):
            if changed(key):
                _only(body, key, ("token",), getattr(options, key))

    session.rules.edit_entry("users", args[0], change)
    print(f'User "{escaped(args[0])}" set.')
    return 0


def _check(options: SetCredentialsOptions) -> None:
    """Refuse flags that contradict each other, in kubectl's words."""
    if options.token and (options.username or options.password):
        raise UsageProblem(
            "you cannot specify more than one authentication method at the same time: --token, --username/--password"
        )
    if options.embed_certs and not (options.client_certificate or options.client_key):
        raise UsageProblem("you must specify a --client-certificate or --client-key to embed")
    if options.exec_interactive_mode and options.exec_interactive_mode not in MODES:
        raise UsageProblem(f"invalid interactive mode type, can be only {', '.join(MODES)}")


def _only(body: dict[str, Any], key: str, others: Sequence[str], value: str) -> None:
    put(body, key, value)
    if value:
        for other in others:
            body.pop(other, None)


def _change_exec(
    body: dict[str, Any],
    options: SetCredentialsOptions,
    provide_changed: bool,
    added: dict[str, str],
    removed: Sequence[str],
) -> None:
    """Change what an entry says of its credential plugin; one with a command is new where there was none."""
    if options.exec_command:
        body.setdefault("exec", {"args": None, "command": "", "env": None, "provideClusterInfo": False})
    plugin: dict[str, Any] | None = body.get("exec")
    if not plugin:
        return
    put(plugin, "command", options.exec_command or plugin.get("command", ""))
    for key, value in (("apiVersion", options.exec_api_version), ("interactiveMode", options.exec_interactive_mode)):
        if value:
            plugin[key] = value
    if provide_changed:
        plugin["provideClusterInfo"] = options.exec_provide_cluster_info
    if options.exec_arg:
        plugin["args"] = list(options.exec_arg)
    if added or removed:
        before = {entry["name"]: entry["value"] for entry in plugin.get("env") or []}
        after = {name: value for name, value in (before | added).items() if name not in removed}
        plugin["env"] = [{"name": name, "value": value} for name, value in after.items()] or None


def _pairs(texts: Sequence[str], flag: str) -> tuple[dict[str, str], list[str]]:
    """Read ``key=value`` and ``key-``: what to set, and what to take away."""
    added: dict[str, str] = {}
    removed: list[str] = []
    for text in texts:
        key, equals, value = text.partition("=")
        if equals:
            added[key] = value
        elif text.endswith("-"):
            removed.append(text[:-1])
        else:
            raise UsageProblem(f"invalid {flag} format: {text}")
    return added, removed


SET_CREDENTIALS = Command(
    "set-credentials",
    run=_set_credentials,
    options=SetCredentialsOptions,
    flags=(
        Flag("--auth-provider", help="Auth provider for the user entry in kubeconfig"),
        Flag("--auth-provider-arg", kind="csv", help="'key=value' arguments for the auth provider"),
        Flag("--client-certificate", help="Path to client-certificate file for the user entry in kubeconfig"),
        Flag("--client-key", help="Path to client-key file for the user entry in kubeconfig"),
        Flag(EMBED_CERTS, kind="bool", help="Embed client cert/key for the user entry in kubeconfig"),
        Flag(
            "--exec-api-version",
            help="API version of the exec credential plugin for the user entry in kubeconfig",
        ),
        Flag("--exec-arg", kind="csv", help="New arguments for the exec credential plugin command for the user entry"),
        Flag("--exec-command", help="Command for the exec credential plugin for the user entry in kubeconfig"),
        Flag("--exec-env", kind="list", help="'key=value' environment values for the exec credential plugin"),
        Flag(
            "--exec-interactive-mode",
            help="InteractiveMode of the exec credentials plugin for the user entry in kubeconfig",
        ),
        Flag(
            "--exec-provide-cluster-info",
            kind="bool",
            help="ProvideClusterInfo of the exec credentials plugin for the user entry in kubeconfig",
        ),
        Flag("--password", help="password for the user entry in kubeconfig"),
        Flag("--token", help="token for the user entry in kubeconfig"),
        Flag("--username", help="username for the user entry in kubeconfig"),
    ),
    about="""\
Set a user entry in kubeconfig.

 Specifying a name that already exists will merge new fields on top of existing values.

        Client-certificate flags:
        --client-certificate=certfile --client-key=keyfile

        Bearer token flags:
        --token=bearer_token

        Basic auth flags:
        --username=basic_user --password=basic_password

 Bearer token and basic auth are mutually exclusive. kctl itself connects with client certificates; the others are for \
other clients.""",
    examples="""\
# Set only the "client-key" field on the "cluster-admin"
# entry, without touching other values
kctl config set-credentials cluster-admin --client-key=~/.kube/admin.key

# Embed client certificate data in the "cluster-admin" entry
kctl config set-credentials cluster-admin --client-certificate=~/.kube/admin.crt --embed-certs=true

# Enable new exec auth plugin for the "cluster-admin" entry
kctl config set-credentials cluster-admin --exec-command=/path/to/the/executable \
--exec-api-version=client.authentication.k8s.io/v1beta1

# Remove exec auth plugin environment variables for the "cluster-admin" entry
kctl config set-credentials cluster-admin --exec-env=var-to-remove-""",
    usage="kctl config set-credentials NAME [--client-certificate=path/to/certfile] [--client-key=path/to/keyfile] "
    "[--token=bearer_token] [--username=basic_user] [--password=basic_password] [--auth-provider=provider_name] "
    "[--auth-provider-arg=key=value] [--exec-command=exec_command] [--exec-api-version=exec_api_version] "
    "[--exec-arg=arg] [--exec-env=key=value]",
)
GET_USERS = Command(
    "get-users",
    run=print_names("users"),
    options=NoOptions,
    about="Display users defined in the kubeconfig.",
    examples="# List the users that kctl knows about\nkctl config get-users",
    usage="kctl config get-users",
)
DELETE_USER = Command(
    "delete-user",
    run=delete_entry("users"),
    options=NoOptions,
    about="Delete the specified user from the kubeconfig.",
    examples="# Delete the minikube user\nkctl config delete-user minikube",
    usage="kctl config delete-user NAME",
)
