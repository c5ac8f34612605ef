"""``kctl version`` and ``kctl api-resources``: the server's version and its resources."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubelab.apimachinery.version import GIT_VERSION
from kubelab.kctl import tables
from kubelab.kctl.command import Command, NoOptions, unexpected
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from kubelab.api.meta.v1.meta_pb2 import APIResource


@dataclass(frozen=True, slots=True)
class VersionOptions:
    client: bool
    output: str


@dataclass(frozen=True, slots=True)
class APIResourcesOptions:
    api_group: str
    cached: bool
    categories: tuple[str, ...]
    namespaced: bool
    no_headers: bool
    output: str
    sort_by: str
    verbs: tuple[str, ...]


def _version(session: Session, args: tuple[str, ...], options: VersionOptions) -> int:
    unexpected(session, args)
    if options.output not in ("", "json", "yaml"):
        raise UsageProblem("--output must be 'yaml' or 'json'")
    versions: dict[str, dict[str, str]] = {"clientVersion": {"gitVersion": GIT_VERSION}}
    if options.client:
        _print_version(versions, options.output)
        return 0
    try:
        server = session.run(lambda c: c.server_version())
        versions["serverVersion"] = {"gitVersion": server.git_version, "platform": server.platform}
    finally:
        _print_version(versions, options.output)
    return 0


def _print_version(versions: dict[str, dict[str, str]], output: str) -> None:
    if output:
        from kubelab.apimachinery.manifest import encode

        print(encode.to_json(versions) if output == "json" else encode.to_yaml(versions), end="")
        return
    print(f"Client Version: {versions['clientVersion']['gitVersion']}")
    if "serverVersion" in versions:
        print(f"Server Version: {versions['serverVersion']['gitVersion']}")


VERSION = Command(
    "version",
    run=_version,
    options=VersionOptions,
    flags=(
        Flag("--client", kind="bool", help="If true, shows client version only (no server required)."),
        Flag("--output", "-o", help="One of 'yaml' or 'json'."),
    ),
    about="Print the client and server version information for the current context.",
    examples="# Print the client and server versions for the current context\nkctl version",
    usage="kctl version",
)


def _api_resources(session: Session, args: tuple[str, ...], options: APIResourcesOptions) -> int:
    unexpected(session, args)
    if options.output not in ("", "wide", "name"):
        raise UsageProblem(f"--output {options.output} is not available")
    if options.sort_by not in ("", "name", "kind"):
        raise UsageProblem("--sort-by accepts only name or kind")
    changed = session.line.changed
    resources = [
        r
        for r in session.run(lambda c: c.server_resources())
        if (not changed("namespaced") or r.namespaced == options.namespaced)
        and (not changed("api-group") or r.group == options.api_group)
        and set(options.verbs) <= set(r.verbs)
        and set(options.categories) <= set(r.categories)
    ]
    resources.sort(key=lambda r: {"kind": r.kind, "name": r.name}.get(options.sort_by, ""))
    resources.sort(key=lambda r: ("", "") if options.sort_by else (r.group, r.name))
    _print_resources(resources, options)
    return 0


def _api_versions(session: Session, args: tuple[str, ...], options: NoOptions) -> int:
    unexpected(session, args)
    resources = session.run(lambda c: c.server_resources())
    for version in sorted({f"{r.group}/{r.version}" if r.group else r.version for r in resources}):
        print(version)
    return 0


API_VERSIONS = Command(
    "api-versions",
    run=_api_versions,
    options=NoOptions,
    about='Print the supported API versions on the server, in the form of "group/version".',
    examples="# Print the supported API versions\nkctl api-versions",
    usage="kctl api-versions",
)


def _print_resources(resources: Sequence[APIResource], options: APIResourcesOptions) -> None:
    if options.output == "name":
        print("".join(f"{r.name}.{r.group}\n" if r.group else f"{r.name}\n" for r in resources), end="")
        return
    rows = [] if options.no_headers else [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]]
    if options.output == "wide" and rows:
        rows[0] += ["VERBS", "CATEGORIES"]
    for r in resources:
        version = f"{r.group}/{r.version}" if r.group else r.version
        row = [r.name, ",".join(r.shortNames), version, str(r.namespaced).lower(), r.kind]
        if options.output == "wide":
            row += [",".join(r.verbs), ",".join(r.categories)]
        rows.append(row)
    sys.stdout.write(tables.render(rows))


API_RESOURCES = Command(
    "api-resources",
    run=_api_resources,
    options=APIResourcesOptions,
    flags=(
        Flag("--api-group", help="Limit to resources in the specified API group."),
        Flag("--cached", kind="bool", help="kubectl's; kctl keeps no list of resources and always asks the server."),
        Flag("--categories", kind="csv", help="Limit to resources that belong to the specified categories."),
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
    examples="""\
# Print the supported API resources
kctl api-resources

# Print the supported API resources with more information
kctl api-resources -o wide

# Print the supported API resources sorted by a column
kctl api-resources --sort-by=name

# Print the supported namespaced resources
kctl api-resources --namespaced=true

# Print the supported API resources with a specific API group
kctl api-resources --api-group=apps""",
    usage="kctl api-resources",
)
