"""``kctl version`` and ``kctl api-resources``: what the server says of itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kubelab.apimachinery.version import GIT_VERSION
from kubelab.kctl import tables
from kubelab.kctl.command import Command, unexpected
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from kubelab.api.meta.v1.meta_pb2 import APIResource


@click.pass_context
def _version(ctx: click.Context, args: tuple[str, ...], client: bool, output: str, **_: object) -> int:
    session: Session = ctx.obj
    unexpected(ctx, args)
    if output not in ("", "json", "yaml"):
        raise UsageProblem("--output must be 'yaml' or 'json'")
    told: dict[str, dict[str, str]] = {"clientVersion": {"gitVersion": GIT_VERSION}}
    if client:
        _print_version(told, output)
        return 0
    try:
        server = session.run(lambda c: c.server_version())
        told["serverVersion"] = {"gitVersion": server.git_version, "platform": server.platform}
    finally:
        _print_version(told, output)
    return 0


def _print_version(told: dict[str, dict[str, str]], output: str) -> None:
    if output:
        from kubelab.apimachinery.manifest import encode

        print(encode.to_json(told) if output == "json" else encode.to_yaml(told), end="")
        return
    print(f"Client Version: {told['clientVersion']['gitVersion']}")
    if "serverVersion" in told:
        print(f"Server Version: {told['serverVersion']['gitVersion']}")


VERSION = Command(
    "version",
    callback=_version,
    flags=(
        Flag("--client", kind="bool", help="If true, shows client version only (no server required)."),
        Flag("--output", "-o", help="One of 'yaml' or 'json'."),
    ),
    about="Print the client and server version information for the current context.",
    examples="# Print the client and server versions for the current context\nkctl version",
    usage="kctl version",
)


@click.pass_context
def _api_resources(
    ctx: click.Context,
    args: tuple[str, ...],
    namespaced: bool,
    api_group: str,
    verbs: tuple[str, ...],
    output: str,
    no_headers: bool,
    sort_by: str,
    **_: object,
) -> int:
    session: Session = ctx.obj
    unexpected(ctx, args)
    if output not in ("", "wide", "name"):
        raise UsageProblem(f"--output {output} is not available")
    if sort_by not in ("", "name", "kind"):
        raise UsageProblem("--sort-by accepts only name or kind")
    given = ctx.meta["line"].given
    found = [
        r
        for r in session.run(lambda c: c.server_resources())
        if (not given("namespaced") or r.namespaced == namespaced)
        and (not given("api-group") or r.group == api_group)
        and set(verbs) <= set(r.verbs)
    ]
    found.sort(key=lambda r: {"kind": r.kind, "name": r.name}.get(sort_by, ""))
    found.sort(key=lambda r: ("", "") if sort_by else (r.group, r.name))
    _print_resources(found, output, no_headers)
    return 0


def _print_resources(found: Sequence[APIResource], output: str, no_headers: bool) -> None:
    if output == "name":
        print("".join(f"{r.name}.{r.group}\n" if r.group else f"{r.name}\n" for r in found), end="")
        return
    rows = [] if no_headers else [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]]
    if output == "wide" and rows:
        rows[0] += ["VERBS", "CATEGORIES"]
    for r in found:
        version = f"{r.group}/{r.version}" if r.group else r.version
        row = [r.name, ",".join(r.shortNames), version, str(r.namespaced).lower(), r.kind]
        if output == "wide":
            row += [",".join(r.verbs), ",".join(r.categories)]
        rows.append(row)
    sys.stdout.write(tables.render(rows))


API_RESOURCES = Command(
    "api-resources",
    callback=_api_resources,
    flags=(
        Flag("--api-group", help="Limit to resources in the specified API group."),
        Flag(
            "--namespaced",
            kind="bool",
            default=True,
            help="If false, non-namespaced resources will be returned, otherwise returning namespaced resources by "
            "default.",
        ),
        Flag("--no-headers", kind="bool", help="When using the default output format, don't print headers."),
        Flag("--output", "-o", help="Output format. One of: (wide, name)."),
        Flag("--sort-by", help="If non-empty, sort list of resources using specified field, name or kind."),
        Flag("--verbs", kind="csv", help="Limit to resources that support the specified verbs."),
    ),
    about="Print the supported API resources on the server.",
    examples="# Print the supported API resources\nkctl api-resources",
    usage="kctl api-resources",
)
