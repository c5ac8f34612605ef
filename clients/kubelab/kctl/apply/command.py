"""The command line of ``kctl apply``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kubelab.kctl.apply.request import CLIENT_SIDE_MANAGER, SERVER_SIDE_MANAGER, ApplyOptions
from kubelab.kctl.command import Command, CommandEntry, unexpected
from kubelab.kctl.commonflags import (
    CASCADE,
    DELETE_TIMEOUT,
    DELETE_WAIT,
    DRY_RUN,
    FORCE,
    GRACE_PERIOD,
    KUSTOMIZE,
    OUTPUT,
    RECURSIVE,
    SELECTOR,
    VALIDATE,
    field_validation,
    require_files,
)
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.recording import RECORD
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.apimachinery.scheme import Resource
    from kubelab.client.client import Client
    from kubelab.kctl import visitor
    from kubelab.kctl.apply.request import ApplyRequest, Target


def _apply(session: Session, args: tuple[str, ...], options: ApplyOptions) -> int:
    unexpected(session, args)
    _check(options)
    if options.all and options.selector:
        raise UsageProblem("cannot set --all and --selector at the same time")
    if options.prune and not options.all and not options.selector:
        raise UsageProblem(
            "all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all "
            "flag. If you did not mean to prune all resources, specify a label selector"
        )
    from kubelab.kctl import delete, failures, files, recording
    from kubelab.kctl.apply import prune
    from kubelab.kctl.apply.request import ApplyRequest, targets_of
    from kubelab.kctl.printers import ResultPrinter

    recording.warn(session)
    manager = options.field_manager
    if options.server_side and not session.line.changed("field-manager"):
        manager = SERVER_SIDE_MANAGER
    request = ApplyRequest(
        options,
        ResultPrinter.of(options.output, options.dry_run),
        manager,
        delete.grace_of(options.grace_period, now=False, force=options.force),
        delete.policy_of(options.cascade),
    )
    pruned = prune.resources_of(options.prune_allowlist) if options.prune else []
    targets = targets_of(session, files.read(session, options, field_validation(options.validate)), options)
    if not targets:
        raise UsageProblem("no objects passed to apply")
    errors = session.run(lambda client: _apply_all(client, session, request, targets, pruned), endless=options.force)
    return failures.report(errors, session)


def _check(options: ApplyOptions) -> None:
    """Refuse flags that do not go together, in kubectl's order."""
    field_validation(options.validate)
    if options.force_conflicts and not options.server_side:
        raise UsageProblem("--force-conflicts only works with --server-side")
    if options.dry_run == "client" and options.server_side:
        raise UsageProblem("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)")
    require_files(options.filename, options.kustomize)
    if options.server_side and options.force:
        raise UsageProblem("--force cannot be used with --server-side")
    if options.dry_run == "server" and options.force:
        raise UsageProblem("--dry-run=server cannot be used with --force")
    if options.subresource and not options.server_side:
        raise UsageProblem("--subresource can only be specified for --server-side")


async def _apply_all(
    client: Client,
    session: Session,
    request: ApplyRequest,
    targets: Sequence[Target],
    pruned: list[Resource[Message]],
) -> visitor.Errors:
    """Apply one object after the other; a refused one does not keep the next from being tried, only the pruning."""
    from kubelab.kctl import visitor
    from kubelab.kctl.apply import prune
    from kubelab.kctl.apply.clientside import ClientSide
    from kubelab.kctl.apply.serverside import ServerSide

    applier = ServerSide(client, request) if request.options.server_side else ClientSide(session, client, request)

    async def apply(target: Target) -> None:
        done = await applier.apply(target)
        if not request.printer.whole and target.live is not None:
            print(request.printer.show(target.live, done), end="", flush=True)

    if errors := await visitor.continue_on_error(targets, apply):
        return errors
    _print_objects(request, targets)
    if request.options.prune:
        await prune.prune(client, request, targets, session.namespace_flag, pruned)
    return []


def _print_objects(request: ApplyRequest, targets: Sequence[Target]) -> None:
    """Print whole objects at the end, several as one list."""
    from kubelab.apimachinery.manifest import encode

    if request.printer.printer is not None and request.printer.whole:
        objects = [target.live for target in targets if target.live is not None]
        document = encode.to_dict(objects[0]) if len(objects) == 1 else encode.list_to_dict(objects)
        print(request.printer.printer.render(document), end="")


APPLY = Command(
    "apply",
    run=_apply,
    options=ApplyOptions,
    children=(
        CommandEntry(
            "edit-last-applied",
            "Edit latest last-applied-configuration annotations of a resource/object",
            "edit.configuration:EDIT_LAST_APPLIED",
        ),
        CommandEntry(
            "set-last-applied",
            "Set the last-applied-configuration annotation on a live object to match the contents of a file",
            "apply.setting:SET_LAST_APPLIED",
        ),
        CommandEntry(
            "view-last-applied",
            "View the latest last-applied-configuration annotations of a resource/object",
            "apply.viewing:VIEW_LAST_APPLIED",
        ),
    ),
    flags=(
        Flag("--all", kind="bool", help="Select all resources in the namespace of the specified resource types."),
        CASCADE,
        DRY_RUN,
        Flag(
            "--field-manager",
            default=CLIENT_SIDE_MANAGER,
            help="Name of the manager used to track field ownership.",
        ),
        Flag("--filename", "-f", kind="csv", help="The files that contain the configurations to apply."),
        FORCE,
        Flag(
            "--force-conflicts",
            kind="bool",
            help="If true, server-side apply will force the changes against conflicts.",
        ),
        GRACE_PERIOD,
        KUSTOMIZE,
        Flag(
            "--openapi-patch",
            kind="bool",
            default=True,
            help="If true, use openapi to calculate diff when the openapi presents and the resource can be found in "
            "the openapi spec. Otherwise, fall back to use baked-in types.",
        ),
        OUTPUT,
        Flag(
            "--overwrite",
            kind="bool",
            default=True,
            help="Automatically resolve conflicts between the modified and live configuration by using values from "
            "the modified configuration",
        ),
        Flag(
            "--prune",
            kind="bool",
            help="Automatically delete resource objects, that do not appear in the configs and are created by either "
            "apply or create --save-config. Should be used with either -l or --all.",
        ),
        Flag(
            "--prune-allowlist",
            kind="list",
            help="Overwrite the default allowlist with <group/version/kind> for --prune",
        ),
        RECORD,
        RECURSIVE,
        SELECTOR,
        Flag("--server-side", kind="bool", help="If true, apply runs in the server instead of the client."),
        Flag(
            "--subresource",
            help="If specified, apply will operate on the subresource of the requested object.  Only allowed when "
            "using --server-side. This flag is beta and may change in the future.",
        ),
        DELETE_TIMEOUT,
        VALIDATE,
        DELETE_WAIT,
    ),
    about="""\
Apply a configuration to a resource by file name or stdin. The resource name must be specified. This resource will be \
created if it doesn't exist yet. To use 'apply', always create the resource initially with either 'apply' or 'create \
--save-config'.

 JSON and YAML formats are accepted.

 Alpha Disclaimer: the --prune functionality is not yet complete. Do not use unless you are aware of what the current \
state is. See https://issues.k8s.io/34274.""",
    examples="""\
# Apply the configuration in pod.yml to a pod
kctl apply -f ./pod.yml

# Apply the JSON passed into stdin to a pod
cat pod.json | kctl apply -f -

# Apply the configuration from all files that end with '.yml'
kctl apply -f '*.yml'

# Note: --prune is still in Alpha
# Apply the configuration in manifest.yml that matches label app=node and delete all other resources that are not in \
the file and match label app=node
kctl apply --prune -f manifest.yml -l app=node

# Apply the configuration in manifest.yml and delete all the other config maps that are not in the file
kctl apply --prune -f manifest.yml --all --prune-allowlist=core/v1/ConfigMap
""",
    usage="kctl apply (-f FILENAME | -k DIRECTORY)",
)
