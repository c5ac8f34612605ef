"""``kctl config view``: shows the merged kubeconfig, without secrets unless it is asked for them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kubelab.client.kubeconfig import FILES, SECTIONS, Kubeconfig
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import ALLOW_MISSING_TEMPLATE_KEYS, SHOW_MANAGED_FIELDS, TEMPLATE
from kubelab.kctl.config.entries import loaded
from kubelab.kctl.documentprinters import PrintFlags, printer_of
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed, Session

_ALWAYS = {"clusters": ("server",), "contexts": ("cluster", "user"), "users": ()}  # written even when empty

_JSON_ORDER = (
    *("command", "args", "env", "kind", "apiVersion", "preferences", "clusters", "users", "contexts"),
    *("current-context", "name", "server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority"),
    *("certificate-authority-data", "proxy-url", "disable-compression", "cluster", "user", "namespace"),
    *("client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile", "as"),
    *("as-uid", "as-groups", "as-user-extra", "username", "password", "auth-provider", "exec", "installHint"),
    *("provideClusterInfo", "interactiveMode", "extension", "extensions"),
)


@dataclass(frozen=True, slots=True)
class ViewOptions:
    allow_missing_template_keys: bool
    flatten: bool
    merge: bool
    minify: bool
    output: str
    raw: bool
    show_managed_fields: bool
    template: str


def _view(session: Session, args: tuple[str, ...], options: ViewOptions) -> int:
    if args:
        raise UsageProblem(f"unexpected arguments: [{' '.join(args)}]", session.command_path, hint="arguments")
    if not options.merge and not session.rules.explicit:
        raise UsageProblem("if merge==false a precise file must be specified")
    output = "" if options.template and not session.line.changed("output") else options.output
    printer = printer_of(PrintFlags(output, options.template, options.allow_missing_template_keys))
    config = loaded(session)
    if options.minify:
        config = _minified(config, session.context or config.current_context)
    if options.flatten:
        _flatten(config)
    document = written(config.document if options.raw or options.flatten else config.redacted())
    print(printer.render(_ordered(document, _rank if output == "json" else str)), end="")
    return 0


def written(document: dict[str, Any]) -> dict[str, Any]:
    """Give a document as kubectl writes one: entries by name, with the fields that are there even when empty."""
    shaped = {"apiVersion": "v1", "kind": "Config", "current-context": "", "preferences": {}, **document}
    for section in SECTIONS:
        singular = section.removesuffix("s")
        entries = sorted(document.get(section) or [], key=lambda entry: entry["name"])
        shaped[section] = [
            {"name": e["name"], singular: {**dict.fromkeys(_ALWAYS[section], ""), **(e.get(singular) or {})}}
            for e in entries
        ] or None
    shaped["current-context"] = shaped["current-context"] or ""
    shaped["preferences"] = shaped["preferences"] or {}
    return shaped


def _ordered(value: Any, key: Callable[[str], Any]) -> Any:
    """Sort the keys of every mapping."""
    if isinstance(value, dict):
        mapping = cast(dict[str, Any], value)
        return {name: _ordered(mapping[name], key) for name in sorted(mapping, key=key)}
    return [_ordered(element, key) for element in cast(list[Any], value)] if isinstance(value, list) else value


def _rank(name: str) -> tuple[int, str]:
    """Say where JSON has a field: in the order of upstream's types, unknown ones behind."""
    return (_JSON_ORDER.index(name) if name in _JSON_ORDER else len(_JSON_ORDER), name)


def _minified(config: Kubeconfig, context: str) -> Kubeconfig:
    """Keep what one context needs."""
    if not context:
        raise Failed("error: current-context must exist in order to minify")
    kept = Kubeconfig({**config.document, **{section: [] for section in SECTIONS}}, config.path)
    kept.document["current-context"] = context
    chosen = config.entry("contexts", context)
    if chosen is None:
        raise Failed(f"error: cannot locate context {context}")
    kept.put_entry("contexts", context, chosen)
    for section, key in (("users", "user"), ("clusters", "cluster")):
        if name := str(chosen.get(key) or ""):
            body = config.entry(section, name)
            if body is None:
                raise Failed(f"error: cannot locate {key} {name}")
            kept.put_entry(section, name, body)
    return kept


def _flatten(config: Kubeconfig) -> None:
    """Put the content of the files that entries name into the entries."""
    for section in ("clusters", "users"):
        for entry in config.absolute_entries(section):
            body: dict[str, Any] = entry[section.removesuffix("s")]
            for key in FILES:
                path = body.pop(key, "")
                if path and not body.get(f"{key}-data"):
                    try:
                        body[f"{key}-data"] = base64.b64encode(Path(path).read_bytes()).decode()
                    except OSError as err:
                        raise Failed(f"error: open {path}: {(err.strerror or '').lower()}") from err
            config.put_entry(section, entry["name"], body)


VIEW = Command(
    "view",
    run=_view,
    options=ViewOptions,
    flags=(
        ALLOW_MISSING_TEMPLATE_KEYS,
        Flag(
            "--flatten",
            kind="bool",
            help="Flatten the resulting kubeconfig file into self-contained output (useful for creating portable "
            "kubeconfig files)",
        ),
        Flag("--merge", kind="bool", default=True, help="Merge the full hierarchy of kubeconfig files"),
        Flag("--minify", kind="bool", help="Remove all information not used by current-context from the output"),
        Flag(
            "--output",
            "-o",
            default="yaml",
            help="Output format. One of: (json, yaml, name, go-template, go-template-file, template, templatefile, "
            "jsonpath, jsonpath-as-json, jsonpath-file).",
        ),
        Flag("--raw", kind="bool", help="Display raw byte data and sensitive data"),
        SHOW_MANAGED_FIELDS,
        TEMPLATE,
    ),
    about="Display merged kubeconfig settings or a specified kubeconfig file.\n\n You can use --output jsonpath={...} "
    "to extract specific values using a jsonpath expression.",
    examples="""\
# Show merged kubeconfig settings
kctl config view

# Show merged kubeconfig settings, raw certificate data, and exposed secrets
kctl config view --raw

# Get the password for the e2e user
kctl config view -o jsonpath='{.users[?(@.name == "e2e")].user.password}'""",
    usage="kctl config view [flags]",
)
