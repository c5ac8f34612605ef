"""``kctl apply view-last-applied``: prints the configuration that was applied last."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubelab.kctl import builder, visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import RECURSIVE, SELECTOR, ResourceOptions
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.resource import Info, ResourceSelection
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.client.client import Client

FILENAME = Flag(
    "--filename",
    "-f",
    kind="csv",
    help="Filename, directory, or URL to files that contains the last-applied-configuration annotations",
)


@dataclass(frozen=True, slots=True)
class ViewOptions(ResourceOptions):
    all: bool
    output: str


def _view(session: Session, args: tuple[str, ...], options: ViewOptions) -> int:
    selecting = options.all or bool(options.selector)
    selection = builder.build(session, args, options, selecting=selecting)
    if options.output not in ("yaml", "json"):
        raise UsageProblem(
            f"Unexpected -o output mode: {options.output}, the flag 'output' must be one of yaml|json",
            session.command_path,
            hint="arguments",
        )
    configurations: list[dict[str, Any]] = []
    errors = session.run(lambda client: _read(client, session, selection, options, configurations))
    if errors:
        from kubelab.kctl import failures

        return failures.report(errors, session)
    from kubelab.apimachinery.manifest import encode

    for configuration in configurations:
        text = encode.to_json(configuration) if options.output == "json" else encode.to_yaml(configuration)
        sys.stdout.write(text)
    return 0


async def _read(
    client: Client,
    session: Session,
    selection: ResourceSelection,
    options: ViewOptions,
    configurations: list[dict[str, Any]],
) -> visitor.Errors:
    from kubelab.kctl.apply import lastapplied

    async def read(info: Info) -> None:
        obj = await client.get(info.resource, info.name, info.namespace)
        if not lastapplied.has(obj):
            raise Failed(f"error: no last-applied-configuration annotation found on resource: {info.name}")
        try:
            configurations.append(lastapplied.of(obj))
        except ValueError as err:
            raise Failed(f"error: {err}") from err

    infos: list[Info] = []
    for item in selection.items:
        found = visitor.infos(client, item, session.namespace, label_selector=options.selector)
        infos += [info async for info in found]
    return await visitor.continue_on_error(infos, read)


VIEW_LAST_APPLIED = Command(
    "view-last-applied",
    run=_view,
    options=ViewOptions,
    flags=(
        Flag("--all", kind="bool", help="Select all resources in the namespace of the specified resource types"),
        FILENAME,
        Flag("--output", "-o", default="yaml", help="Output format. Must be one of (yaml, json)"),
        RECURSIVE,
        SELECTOR,
    ),
    about="View the latest last-applied-configuration annotations by type/name or file.\n\n The default output will be "
    "printed to stdout in YAML format. You can use the -o option to change the output format.",
    examples="""\
# View the last-applied-configuration annotations by type/name in YAML
kctl apply view-last-applied deployment/nginx

# View the last-applied-configuration annotations by file in JSON
kctl apply view-last-applied -f deploy.yaml -o json
""",
    usage="kctl apply view-last-applied (TYPE [NAME | -l label] | TYPE/NAME | -f FILENAME)",
)
